-- Privileges: for every table, schema and the database, what each login really may do.
--
-- By has_…_privilege, which counts everything: direct grants, grants on columns, those of PUBLIC,
-- and what comes by membership.

create function assert_privileges() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    -- mcp_heal inherits the owner's rights and has no line here.
    with
    ours as (
        select pg_class.oid, pg_class.relnamespace::regnamespace::text as schema, pg_class.relname as name
        from pg_class
        where
            pg_class.relnamespace::regnamespace::text in ('public', 'app', 'audit', 'ops', 'migration')
            and pg_class.relkind in ('r', 'p', 'v', 'm', 'f')
            and not exists (
                select from pg_depend
                where pg_depend.objid = pg_class.oid and pg_depend.deptype = 'e'
            )
    ),

    expected as (
        select
            ours.oid,
            login.name as login,
            "right".name as right_name,
            case
                when ours.schema = 'public' and login.name in ('atlas', 'mcp_write')
                    then "right".name in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                when ours.schema = 'public' and login.name = 'mcp_read'
                    then "right".name = 'SELECT'
                when
                    ours.schema = 'migration'
                    and ours.name in ('run', 'quarantine', 'quarantine_piece')
                    and login.name = 'mcp_read'
                    then "right".name = 'SELECT'
                when ours.schema in ('audit', 'ops') and login.name = 'mcp_audit' then "right".name = 'SELECT'
                else false
            end as allowed
        from ours
        cross join (values ('atlas'), ('migrator'), ('mcp_read'), ('mcp_write'), ('mcp_audit')) as login (name)
        cross join unnest(
            array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
            -- PostgreSQL 16 does not know this one.
            || case when current_setting('server_version_num')::integer >= 170000 then '{MAINTAIN}'::text [] end
        ) as "right" (name)
    )

    select
        string_agg(
            format(
                '%s %s %s on %s',
                expected.login, case when expected.allowed then 'lacks' else 'has' end,
                expected.right_name, expected.oid::regclass
            ), '; ' order by expected.oid::regclass::text, expected.login, expected.right_name
        )
    into found
    from expected
    where
        has_table_privilege(expected.login, expected.oid, expected.right_name) <> expected.allowed
        or (
            not expected.allowed
            and expected.right_name in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
            and has_any_column_privilege(expected.login, expected.oid, expected.right_name)
        );
    if found is not null then
        raise exception 'privileges: tables: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s has %s on schema %s', login.name, "right".name, schema.name), '; ')
    into found
    from (values ('atlas'), ('migrator'), ('mcp_read'), ('mcp_write'), ('mcp_heal'), ('mcp_audit')) as login (name)
    cross join (values ('public'), ('app'), ('audit'), ('migration')) as schema (name)
    cross join (values ('USAGE'), ('CREATE')) as "right" (name)
    where
        has_schema_privilege(login.name, schema.name, "right".name)
        <> case
            when login.name = 'mcp_heal' then schema.name not in ('app', 'audit') or "right".name = 'USAGE'
            when "right".name = 'CREATE' then false
            when login.name = 'mcp_audit' then schema.name = 'audit'
            when login.name = 'mcp_read' then schema.name <> 'audit'
            when login.name = 'mcp_write' then schema.name <> 'migration'
            when login.name = 'atlas' then schema.name = 'public'
            else false
        end;
    if found is not null then
        raise exception 'privileges: schemas (has, or lacks): %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s: %s', login.name, "right".name), '; ') into found
    from (values ('atlas'), ('migrator'), ('mcp_read'), ('mcp_write'), ('mcp_heal'), ('mcp_audit')) as login (name)
    cross join (values ('CONNECT'), ('CREATE'), ('TEMPORARY')) as "right" (name)
    where
        has_database_privilege(login.name, current_database(), "right".name)
        <> case "right".name
            when 'CONNECT' then true
            when 'TEMPORARY' then login.name = 'mcp_heal'
            when 'CREATE' then login.name = 'migrator'
            else false
        end;
    if found is not null then
        raise exception 'privileges: database (has, or lacks): %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s on %s', acl.privilege_type, thing.name), '; ' order by thing.name) into found
    from (
        select
            null::oid as oid,
            format('database %s', pg_database.datname) as name,
            coalesce(pg_database.datacl, acldefault('d', pg_database.datdba)) as acl
        from pg_database
        where pg_database.datname = current_database()
        union all
        select
            null,
            format('schema %s', pg_namespace.nspname),
            coalesce(pg_namespace.nspacl, acldefault('n', pg_namespace.nspowner))
        from pg_namespace
        where pg_namespace.nspname in ('public', 'app', 'audit', 'ops', 'migration')
        union all
        select
            pg_class.oid,
            pg_class.oid::regclass::text,
            pg_class.relacl
        from pg_class
        where pg_class.relnamespace::regnamespace::text in ('public', 'app', 'audit', 'ops', 'migration')
        union all
        select
            pg_proc.oid,
            pg_proc.oid::regprocedure::text,
            coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner))
        from pg_proc
        where pg_proc.pronamespace::regnamespace::text in ('public', 'app', 'audit', 'ops', 'migration')
        union all
        select
            null,
            'what atlas_owner will create',
            pg_default_acl.defaclacl
        from pg_default_acl
        where pg_default_acl.defaclrole = 'atlas_owner'::regrole
    ) as thing
    cross join aclexplode(thing.acl) as acl
    where
        acl.grantee = 0
        and not exists (
            select from pg_depend
            where pg_depend.objid = thing.oid and pg_depend.deptype = 'e'
        );
    if found is not null then
        raise exception 'privileges: PUBLIC has: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s %s', login.name, routine.name), '; ') into found
    from (values ('mcp_read'), ('mcp_write'), ('mcp_heal')) as login (name)
    cross join (values ('app.context()'), ('app.set_context(text)')) as routine (name)
    where
        to_regprocedure(routine.name) is null
        or not has_function_privilege(login.name, to_regprocedure(routine.name), 'EXECUTE');
    if found is not null then
        raise exception 'privileges: may not be executed, so that policies fail: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    -- The platform's only way to a table; mcp_heal inherits the owner's.
    select string_agg(login.name, ', ') into found
    from (values ('atlas', true), ('migrator', false), ('mcp_read', false), ('mcp_write', false), ('mcp_audit', false))
        as login (name, allowed)
    where
        coalesce(has_function_privilege(
            login.name, to_regprocedure('public.create_platform_table(text, jsonb, jsonb)'), 'EXECUTE'
        ), false)
        <> login.allowed;
    if found is not null then
        raise exception 'privileges: create_platform_table (has, or lacks): %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    -- Where a superuser applied sql/, atlas_guard may lower temp_file_limit, and a migration may write rows
    -- without the order of their references; nobody else may change anything.
    select string_agg(format('%s: %s %s', entry.grantee::regrole, entry.privilege_type, pg_parameter_acl.parname), '; ')
    into found
    from pg_parameter_acl
    cross join aclexplode(pg_parameter_acl.paracl) as entry
    where
        entry.grantee in (
            select pg_roles.oid from pg_roles
            where pg_roles.rolname in ('atlas_owner', 'atlas_guard', 'atlas_functions', 'atlas', 'migrator')
            or pg_roles.rolname ~ '^mcp_'
            union all
            select 0
        )
        and (
            (entry.grantee::regrole::text, pg_parameter_acl.parname) not in (
                ('atlas_guard', 'temp_file_limit'), ('migrator', 'session_replication_role')
            )
            or entry.privilege_type <> 'SET' or entry.is_grantable
        );
    if found is not null then
        raise exception 'privileges: settings: %', found using hint = 'Run sql/load.sql again.';
    end if;
end
$$;
