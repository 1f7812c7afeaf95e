-- Audit: no row of public is written by an agent without an image, and nothing recorded can be changed.

create function assert_audit() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(pg_class.oid::regclass::text, ', ' order by pg_class.oid::regclass::text) into found
    from pg_class
    where
        pg_class.relkind in ('r', 'p') and pg_class.relnamespace = 'public'::regnamespace
        and not exists (
            select from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid
                and pg_depend.deptype = 'e'
        )
        and not exists (
            select from pg_trigger
            where
                pg_trigger.tgrelid = pg_class.oid
                and pg_trigger.tgname = 'row_image' and pg_trigger.tgenabled = 'O'
                and pg_trigger.tgfoid = to_regproc('audit.image')
                -- Of each row, after it was inserted, deleted or updated.
                and pg_trigger.tgtype = 1 + 4 + 8 + 16
                and pg_trigger.tgattr = ''::int2vector
                and pg_get_triggerdef(pg_trigger.oid) like
                '%WHEN ((SESSION_USER = ANY (ARRAY[''mcp_write''::name, ''mcp_heal''::name])))%'
        );
    if found is not null then
        raise exception 'audit: rows are written without an image: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s of %s', expected.trigger_name, expected.table_name), ', ') into found
    from (
        values
        ('audit.call', 'no_change', 2 + 8 + 16 + 1), ('audit.call', 'no_truncate', 2 + 32),
        ('audit.written', 'no_change', 2 + 8 + 16 + 1), ('audit.written', 'no_truncate', 2 + 32),
        ('audit.row_image', 'no_change', 2 + 8 + 16 + 1), ('audit.row_image', 'no_truncate', 2 + 32),
        ('audit.written', 'no_open_end', 1 + 4)
    ) as expected (table_name, trigger_name, type)
    where not exists (
        select from pg_trigger
        where
            pg_trigger.tgrelid = to_regclass(expected.table_name) and pg_trigger.tgname = expected.trigger_name
            and pg_trigger.tgtype = expected.type and pg_trigger.tgenabled = 'O' and pg_trigger.tgqual is null
    );
    if found is not null then
        raise exception 'audit: triggers that are missing or switched off: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    -- The functions add and never change; who could replace one, or write past them, could forge.
    select string_agg(format('%s may %s', pg_roles.rolname, forbidden.what), ', ') into found
    from pg_roles
    cross join lateral (
        values
        ('create in schema audit', has_schema_privilege(pg_roles.oid, 'audit', 'CREATE')),
        ('write audit.call', has_table_privilege(pg_roles.oid, 'audit.call', 'INSERT, UPDATE, DELETE, TRUNCATE')),
        ('write audit.written', has_table_privilege(pg_roles.oid, 'audit.written', 'INSERT, UPDATE, DELETE, TRUNCATE')),
        ('write audit.row_image', has_table_privilege(pg_roles.oid, 'audit.row_image', 'INSERT, UPDATE, DELETE, TRUNCATE')),
        (
            'add records',
            pg_roles.rolname <> 'mcp_audit' and has_function_privilege(pg_roles.oid, 'audit.append(jsonb)', 'EXECUTE')
        )
    ) as forbidden (what, holds)
    where
        forbidden.holds
        and pg_roles.rolname in (
            'atlas_owner', 'atlas', 'migrator', 'mcp_read', 'mcp_write', 'mcp_heal', 'mcp_audit'
        );
    if found is not null then
        raise exception 'audit: records could be forged: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(expected.name, ', ') into found
    from (
        values
        ('audit.append(jsonb)'), ('audit.begin_write(text)'), ('audit.end_write(jsonb)'), ('audit.image()'),
        ('audit.no_open_end()'), ('audit.status(uuid)')
    ) as expected (name)
    left join pg_proc on pg_proc.oid = to_regprocedure(expected.name)
    where
        not coalesce(pg_proc.prosecdef, false)
        or not pg_proc.proconfig @> array['search_path=pg_catalog, pg_temp'];
    if found is not null then
        raise exception 'audit: not with its owner''s rights and a pinned path: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    select 'audit_follows' into found
    where
        not exists (
            select from pg_event_trigger
            where
                pg_event_trigger.evtname = 'audit_follows' and pg_event_trigger.evtevent = 'ddl_command_end'
                and pg_event_trigger.evtenabled = 'O'
                and pg_event_trigger.evtfoid = to_regproc('audit.follow_tables')
        )
        and (
            select pg_roles.rolsuper from pg_roles
            where pg_roles.rolname = current_user
        );
    if found is not null then
        raise exception 'audit: the event trigger that follows new tables is missing or switched off'
            using hint = 'Run sql/load.sql again as a superuser.';
    end if;
end
$$;
