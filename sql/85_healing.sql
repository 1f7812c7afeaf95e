-- What mcp_heal may do with the ownership that it inherits: add, widen, index; and nothing else.
--
-- PostgreSQL knows no right to add a column that is not also the right to drop the table, to switch its
-- policies off, or to give it away. Functions with the owner's rights for each allowed change would be
-- narrower, but CREATE INDEX CONCURRENTLY cannot be run in one, and the text of a change would have to
-- be parsed here. So the ownership stays, and its use is judged by what came of it: before a schema
-- change of this login everything that protects is written down, after it is compared, and where
-- anything is gone or changed the change fails. It does not matter how a statement is written.
--
-- Event triggers belong to a superuser: mcp_heal can neither disable nor drop them. A managed
-- PostgreSQL's administrator cannot make them; there the gate of the MCP server stands alone.
--
-- TRUNCATE is no schema change, knows no policies and leaves no images of rows: a trigger on each table
-- refuses it to agents.

set local search_path = 'declared_app', 'pg_catalog';

-- Facts about everything that mcp_heal did not make itself. "kept …": must be there afterwards, new ones
-- may come. "exact …": may neither go nor come.
create function protections() returns setof text
language sql stable
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    with guarded as (
        select
            pg_class.*,
            pg_get_userbyid(pg_class.relowner) <> 'mcp_heal' as is_kept
        from pg_class
        inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
        where
            pg_class.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and pg_namespace.nspname in ('public', 'app', 'audit', 'migration', 'migration_staging')
    ),

    -- The triggers that every table of public has (87_audit.sql). They come with a table, and go with it.
    common as (
        select pg_trigger.*
        from pg_trigger
        where
            (pg_trigger.tgname = 'row_image' and pg_trigger.tgfoid = to_regproc('audit.image'))
            or (pg_trigger.tgname = 'no_truncate' and pg_trigger.tgfoid = to_regproc('app.no_truncate'))
    )

    select
        concat_ws(
            ' ', 'kept relation', oid, relname, relnamespace, relowner, relpersistence, relrowsecurity,
            relforcerowsecurity, relacl, reloptions
        )
    from guarded
    where is_kept
    union all
    select concat_ws(' ', 'exact schema', oid, nspname, nspowner, nspacl)
    from pg_namespace
    -- The session's own may come with its first temporary table.
    where nspname !~ '^pg_(toast_)?temp_'
    union all
    select concat_ws(' ', 'exact function', oid, proname, proowner, prosecdef, proacl, proconfig, md5(prosrc))
    from pg_proc
    where pronamespace <> 'pg_catalog'::regnamespace
    union all
    select concat_ws(' ', 'kept column', attrelid, attnum, attname, attacl, attidentity)
    from pg_attribute
    inner join guarded on guarded.oid = pg_attribute.attrelid
    where guarded.is_kept and attnum > 0 and not attisdropped
    union all
    select concat_ws(' ', 'kept constraint', pg_constraint.oid, conname, conrelid)
    from pg_constraint
    inner join guarded on guarded.oid = pg_constraint.conrelid
    -- PostgreSQL 18 keeps NOT NULL there as well, and that may be taken off.
    where guarded.is_kept and contype <> 'n'
    union all
    select
        concat_ws(
            ' ', 'exact policy', oid, polname, polrelid, polpermissive, polcmd, polroles,
            md5(concat_ws('|', polqual::text, polwithcheck::text))
        )
    from pg_policy
    union all
    select concat_ws(' ', 'exact trigger', oid, tgrelid, tgname, tgfoid, tgtype, tgenabled)
    from pg_trigger
    where not tgisinternal and oid not in (select common.oid from common)
    union all
    select concat_ws(' ', 'kept trigger', common.oid, tgrelid, tgname, tgtype, tgenabled)
    from common
    inner join guarded on guarded.oid = common.tgrelid
    where guarded.is_kept
    union all
    select concat_ws(' ', 'exact table whose rows are written without a record:', guarded.oid)
    from guarded
    where
        guarded.relkind in ('r', 'p') and guarded.relnamespace = 'public'::regnamespace
        and not exists (
            select from common
            where common.tgrelid = guarded.oid and common.tgname = 'row_image' and common.tgenabled = 'O'
        )
    union all
    select concat_ws(' ', 'exact rule', pg_rewrite.oid, ev_class, ev_enabled)
    from pg_rewrite
    inner join guarded on guarded.oid = pg_rewrite.ev_class
    -- A view is one rule.
    where guarded.is_kept or guarded.relkind <> 'v'
    union all
    select concat_ws(' ', 'exact inheritance', inhrelid, inhparent)
    from pg_inherits
    inner join guarded on guarded.oid in (pg_inherits.inhrelid, pg_inherits.inhparent);
end;

create function healing_begins() returns event_trigger
language plpgsql security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    if session_user <> 'mcp_heal' then
        return;
    end if;
    if tg_tag not in (
        'ALTER TABLE', 'CREATE INDEX', 'DROP INDEX', 'CREATE TABLE', 'CREATE VIEW', 'DROP TABLE', 'DROP VIEW',
        -- On what it made itself; a right to anything else is a fact that would change.
        'GRANT',
        -- Those of audit_follows; any other is a fact that would come.
        'CREATE TRIGGER'
    ) then
        raise insufficient_privilege using
            message = format('%s is not for mcp_heal', tg_tag),
            hint = 'It adds columns, constraints, indexes, tables and views.';
    end if;
    -- Within another change: what that one began from is what it is compared with.
    if tg_tag = 'CREATE TRIGGER' and nullif(current_setting('app.healing', true), '') is not null then
        return;
    end if;
    perform set_config('app.healing', array(select fact from app.protections() as fact)::text, true);
end
$$;

create function healing_ends() returns event_trigger
language plpgsql security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    noted text := nullif(current_setting('app.healing', true), '');
    before text[];
    after text[];
    change text;
begin
    if session_user <> 'mcp_heal' then
        return;
    end if;
    -- CONCURRENTLY has committed since, and with that the note is gone; an index protects nothing.
    if noted is null and tg_tag in ('CREATE INDEX', 'DROP INDEX') then
        return;
    end if;
    before := noted::text[];
    after := array(select fact from app.protections() as fact);
    select fact into change from unnest(before) as fact where fact <> all (after) limit 1;
    if change is null then
        select fact into change from unnest(after) as fact
        where fact like 'exact %' and fact <> all (before) limit 1;
    end if;
    if change is null and tg_tag not in ('GRANT', 'CREATE TRIGGER') then
        select format('%s %s', object_type, object_identity) into change
        from pg_event_trigger_ddl_commands()
        where
            coalesce(schema_name, '') <> 'public'
            or (
                object_type = 'view'
                and not exists (
                    select from pg_class
                    where pg_class.oid = objid
                    and reloptions && array['security_invoker=true', 'security_invoker=on']
                )
            )
        limit 1;
    end if;
    if change is not null or noted is null then
        raise insufficient_privilege using
            message = format('%s would take or weaken what is there', tg_tag),
            detail = change,
            hint = 'Schema changes add; what sql/ declares, a person removes.';
    end if;
end
$$;

create function no_truncate() returns trigger
language plpgsql
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    if session_user in ('mcp_write', 'mcp_heal') then
        raise insufficient_privilege using
            message = format('TRUNCATE %I is not for %s', tg_table_name, session_user);
    end if;
    return null;
end
$$;

create table declared.event_trigger (
    name text primary key,
    event text not null,
    function_name text not null
);

insert into declared.event_trigger (name, event, function_name) values
('healing_begins', 'ddl_command_start', 'app.healing_begins'),
('healing_ends', 'ddl_command_end', 'app.healing_ends');

do $$
declare
    target regclass;
begin
    for target in
        select pg_class.oid
        from pg_class
        where
            pg_class.relkind = 'r'
            and pg_class.relnamespace::regnamespace::text in ('declared_public', 'declared_migration')
    loop
        execute format(
            'create trigger no_truncate before truncate on %s
             for each statement execute function no_truncate()',
            target
        );
    end loop;
end
$$;

set local search_path = 'pg_catalog';
