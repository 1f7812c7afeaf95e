-- What is missing of roles, role settings, memberships, schemas and extensions, as statements.
--
-- Roles come before everything that names them. Only attributes that differ are named: even
-- NOSUPERUSER may be said by a superuser alone, and a managed PostgreSQL's administrator is none.

create view declared.foundation_difference as
with
administrator as (
    select
        rolname as name,
        rolsuper as superuser,
        rolsuper or has_parameter_privilege('temp_file_limit', 'SET') as limits_temporary_files
    from pg_roles
    where rolname = current_user
),

present_setting as (
    select
        pg_roles.rolname as role,
        lower(split_part(entry, '=', 1)) as name,
        substr(entry, strpos(entry, '=') + 1) as value
    from pg_db_role_setting
    inner join pg_roles on pg_roles.oid = pg_db_role_setting.setrole
    cross join unnest(pg_db_role_setting.setconfig) as entry
    where pg_db_role_setting.setdatabase = 0
),

owner as (
    select distinct owned_schema.owner as name from declared.owned_schema
),

present_membership as (
    select
        role.rolname as role,
        member.rolname as member,
        grantor.rolname as grantor,
        m.admin_option,
        m.inherit_option,
        m.set_option
    from pg_auth_members as m
    inner join pg_roles as role on role.oid = m.roleid
    inner join pg_roles as member on member.oid = m.member
    inner join pg_roles as grantor on grantor.oid = m.grantor
)

select
    10 as step,
    format(
        'create role %I %s connection limit %s nosuperuser nocreatedb nocreaterole noreplication nobypassrls',
        role.name,
        case when role.login then 'login' else 'nologin' end,
        role.connection_limit
    ) as statement
from declared.role
where
    not exists (
        select from pg_roles
        where pg_roles.rolname = role.name
    )

union all
select
    11,
    format(
        'alter role %I %s',
        role.name,
        concat_ws(
            ' ',
            case when present.rolsuper then 'nosuperuser' end,
            case when present.rolcreatedb then 'nocreatedb' end,
            case when present.rolcreaterole then 'nocreaterole' end,
            case when present.rolreplication then 'noreplication' end,
            case when present.rolbypassrls then 'nobypassrls' end,
            case when not present.rolinherit then 'inherit' end,
            case when present.rolcanlogin and not role.login then 'nologin' end,
            case when role.login and not present.rolcanlogin then 'login' end,
            case
                when present.rolconnlimit <> role.connection_limit
                    then format('connection limit %s', role.connection_limit)
            end
        )
    )
from declared.role
inner join pg_roles as present on present.rolname = role.name
where
    present.rolsuper or present.rolcreatedb or present.rolcreaterole
    or present.rolreplication or present.rolbypassrls or not present.rolinherit
    or present.rolcanlogin <> role.login
    or present.rolconnlimit <> role.connection_limit

union all
select
    12,
    format(
        'alter role %I set %I = %s',
        setting.role,
        setting.name,
        -- The one list among them: quoted as a whole it would be one strange schema name.
        case setting.name when 'search_path' then setting.value else quote_literal(setting.value) end
    )
from declared.role_setting as setting
cross join administrator
left join present_setting as present
    on present.role = setting.role and present.name = setting.name
where
    present.value is distinct from setting.value
    and (setting.name <> 'temp_file_limit' or administrator.limits_temporary_files)

union all
-- A login may change its own defaults, and for a login of the agents that is any agent's SQL.
select
    12,
    format(
        'alter role %I%s reset %I',
        pg_roles.rolname,
        coalesce(' in database ' || quote_ident(pg_database.datname), ''),
        split_part(entry, '=', 1)
    )
from pg_db_role_setting
inner join pg_roles on pg_roles.oid = pg_db_role_setting.setrole
left join pg_database on pg_database.oid = pg_db_role_setting.setdatabase
cross join unnest(pg_db_role_setting.setconfig) as entry
where
    pg_roles.rolname in (
        select role.name from declared.role
        where role.name like 'mcp\_%'
    )
    and (
        pg_db_role_setting.setdatabase <> 0
        or not exists (
            select
            from declared.role_setting as setting
            where setting.role = pg_roles.rolname and setting.name = lower(split_part(entry, '=', 1))
        )
    )

union all
-- Memberships among our roles and in them that are not declared, or not so, go. A role's creator
-- is a member with ADMIN (that is how CREATEROLE works): roles that are not ours are left alone.
select
    13,
    format('revoke %I from %I granted by %I', present.role, present.member, present.grantor)
from present_membership as present
left join declared.membership
    on membership.role = present.role and membership.member = present.member
where
    present.member in (select role.name from declared.role)
    and (
        membership.role is null
        or present.admin_option
        or present.inherit_option <> membership.inherits
        or present.set_option <> membership.may_set
    )

union all
select
    14,
    format(
        'grant %I to %I with inherit %s, set %s',
        membership.role, membership.member, membership.inherits::text, membership.may_set::text
    )
from declared.membership
where
    not exists (
        select
        from present_membership as present
        where
            present.role = membership.role and present.member = membership.member
            and not present.admin_option
            and present.inherit_option = membership.inherits
            and present.set_option = membership.may_set
    )

union all
-- An administrator who is no superuser must be a member of the owners to work on their objects.
select
    15,
    format('grant %I to %I with inherit true, set true', owner.name, administrator.name)
from administrator
cross join owner
where
    not administrator.superuser
    and not exists (
        select
        from present_membership as present
        where
            present.role = owner.name and present.member = administrator.name
            and present.inherit_option and present.set_option
    )

union all
select
    16,
    format('create schema %I authorization %I', owned_schema.name, owned_schema.owner)
from declared.owned_schema
where
    not exists (
        select from pg_namespace
        where pg_namespace.nspname = owned_schema.name
    )

union all
select
    17,
    format('alter schema %I owner to %I', owned_schema.name, owned_schema.owner)
from declared.owned_schema
inner join pg_namespace on pg_namespace.nspname = owned_schema.name
where pg_get_userbyid(pg_namespace.nspowner) <> owned_schema.owner

union all
select
    18,
    format('create extension %I with schema %I', extension.name, extension.schema)
from declared.extension
inner join pg_available_extensions as available on available.name = extension.name
inner join pg_available_extension_versions as version
    on version.name = available.name and version.version = available.default_version
cross join administrator
where
    available.installed_version is null
    and (
        extension.loaded_with is null
        or exists (
            select from pg_settings
            where pg_settings.name = extension.loaded_with
        )
    )
    and (
        administrator.superuser
        or version.trusted and has_database_privilege(current_database(), 'CREATE')
    );
