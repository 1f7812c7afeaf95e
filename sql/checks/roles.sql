-- Roles: nobody is more than a plain login, and nobody can become another.

create function assert_roles() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(expected.name, ', ') into found
    from (
        values
        ('atlas_owner', false), ('atlas_guard', false), ('atlas_functions', false),
        ('atlas', true), ('migrator', true),
        ('mcp_read', true), ('mcp_write', true), ('mcp_heal', true), ('mcp_audit', true)
    ) as expected (name, login)
    left join pg_roles on pg_roles.rolname = expected.name
    where
        pg_roles.rolname is null
        or pg_roles.rolcanlogin <> expected.login
        or pg_roles.rolsuper or pg_roles.rolcreatedb or pg_roles.rolcreaterole
        or pg_roles.rolreplication or pg_roles.rolbypassrls;
    if found is not null then
        raise exception 'roles: missing, or with another LOGIN or more attributes than declared: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    -- PostgreSQL's own roles (pg_read_all_data, pg_signal_backend, …) count as well.
    select string_agg(format('%s in %s', member.rolname, role.rolname), ', ') into found
    from pg_auth_members as m
    inner join pg_roles as role on role.oid = m.roleid
    inner join pg_roles as member on member.oid = m.member
    where
        member.rolname in ('atlas_owner', 'atlas_guard', 'atlas_functions', 'atlas', 'migrator', 'mcp_read', 'mcp_write', 'mcp_heal', 'mcp_audit')
        and not (
            role.rolname = 'atlas_owner' and not m.admin_option
            and (member.rolname, m.inherit_option, m.set_option)
            in (('migrator', false, true), ('mcp_heal', true, false))
        )
        and not (
            role.rolname = 'atlas_functions' and not m.admin_option and m.inherit_option and not m.set_option
            and member.rolname in ('atlas', 'migrator', 'atlas_guard')
        )
        and not (
            role.rolname = 'pg_read_all_stats' and not m.admin_option and m.inherit_option and not m.set_option
            and member.rolname = 'atlas_guard'
        );
    if found is not null then
        raise exception 'roles: memberships that are not declared: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    if not pg_has_role('migrator', 'atlas_owner', 'SET') or pg_has_role('migrator', 'atlas_owner', 'USAGE')
        or not pg_has_role('mcp_heal', 'atlas_owner', 'USAGE') or pg_has_role('mcp_heal', 'atlas_owner', 'SET')
    then
        raise exception 'roles: migrator must be able to SET ROLE atlas_owner without inheriting, and mcp_heal to inherit without SET ROLE'
            using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s: %s', expected.role, expected.setting), ', ') into found
    from (
        values
        ('atlas', 'timezone=UTC'), ('migrator', 'timezone=UTC'),
        ('mcp_read', 'timezone=UTC'), ('mcp_write', 'timezone=UTC'), ('mcp_heal', 'timezone=UTC'),
        ('mcp_audit', 'timezone=UTC'), ('mcp_audit', 'search_path=public, pg_temp'),
        ('atlas', 'search_path=public, pg_temp'), ('migrator', 'search_path=public, pg_temp'),
        ('mcp_read', 'search_path=public, pg_temp'), ('mcp_write', 'search_path=public, pg_temp'),
        ('mcp_heal', 'search_path=public, pg_temp'),
        ('mcp_read', 'default_transaction_read_only=on')
    ) as expected (role, setting)
    where not exists (
        select
        from pg_db_role_setting
        cross join unnest(pg_db_role_setting.setconfig) as entry
        where
            pg_db_role_setting.setdatabase = 0
            and pg_db_role_setting.setrole = expected.role::regrole
            and lower(entry) = lower(expected.setting)
    );
    if found is not null then
        raise exception 'roles: settings that are missing: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s: %s', pg_roles.rolname, entry), ', ') into found
    from pg_db_role_setting
    inner join pg_roles on pg_roles.oid = pg_db_role_setting.setrole
    cross join unnest(pg_db_role_setting.setconfig) as entry
    where
        pg_roles.rolname in ('mcp_read', 'mcp_write', 'mcp_heal', 'mcp_audit')
        and (
            pg_db_role_setting.setdatabase <> 0
            or lower(split_part(entry, '=', 1)) not in (
                'timezone', 'search_path', 'default_transaction_read_only', 'statement_timeout',
                'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                'temp_file_limit'
            )
            and lower(entry) <> 'synchronous_commit=off'
        );
    if found is not null then
        raise exception 'roles: settings that an agent could have made: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s: %s', expected.role, expected.setting), ', ') into found
    from (
        values
        ('mcp_read', 'statement_timeout'), ('mcp_write', 'statement_timeout'),
        ('mcp_heal', 'statement_timeout'), ('mcp_audit', 'statement_timeout'),
        ('mcp_read', 'lock_timeout'), ('mcp_write', 'lock_timeout'), ('mcp_heal', 'lock_timeout'),
        ('mcp_audit', 'lock_timeout'),
        ('mcp_read', 'idle_in_transaction_session_timeout'),
        ('mcp_write', 'idle_in_transaction_session_timeout'),
        ('mcp_heal', 'idle_in_transaction_session_timeout'),
        ('mcp_read', 'idle_session_timeout'), ('mcp_write', 'idle_session_timeout'),
        ('mcp_heal', 'idle_session_timeout'), ('atlas', 'idle_session_timeout')
    ) as expected (role, setting)
    where not exists (
        select
        from pg_db_role_setting
        cross join unnest(pg_db_role_setting.setconfig) as entry
        where
            pg_db_role_setting.setdatabase = 0
            and pg_db_role_setting.setrole = expected.role::regrole
            and split_part(entry, '=', 1) = expected.setting
            and split_part(entry, '=', 2) <> '0'
    );
    if found is not null then
        raise exception 'roles: without a time limit: %', found
            using hint = 'Run sql/load.sql again.';
    end if;
end
$$;
