-- Who owns and may do what, compared with the declared matrix, as statements.
--
-- GRANT and REVOKE rewrite a catalogue row even where nothing changes; so only what is missing
-- is granted, and only what is not declared is revoked: from our roles and PUBLIC, whoever gave
-- it. Rights of other roles (a reporting login of the site) are the site's own business.

-- Everything that privileges are declared for. What an extension brought is the extension's.
create view declared.securable as
with
schema_of_ours as (
    select
        pg_namespace.oid,
        pg_namespace.nspname as name,
        pg_namespace.nspowner as owner,
        pg_namespace.nspacl as acl,
        -- Who shall own what lies in it.
        coalesce(owned_schema.owner, 'atlas_owner') as keeper
    from pg_namespace
    left join declared.owned_schema on owned_schema.name = pg_namespace.nspname
    where pg_namespace.nspname = 'public' or owned_schema.name is not null
)

select
    'database' as kind,
    null::text as schema,
    datname::text as name,
    format('database %I', datname) as target,
    datdba as owner,
    coalesce(datacl, acldefault('d', datdba)) as acl,
    null::text as ownership,
    null::text as keeper
from pg_database
where datname = current_database()

union all
select
    'schema',
    name as schema,
    name,
    format('schema %I', name),
    owner,
    coalesce(acl, acldefault('n', owner)),
    null,
    keeper
from schema_of_ours

union all
select
    case pg_class.relkind when 'S' then 'sequence' else 'table' end,
    schema_of_ours.name,
    pg_class.relname,
    format(
        '%s %I.%I',
        case pg_class.relkind when 'S' then 'sequence' else 'table' end,
        schema_of_ours.name,
        pg_class.relname
    ),
    pg_class.relowner,
    coalesce(
        pg_class.relacl,
        case pg_class.relkind
            when 'S' then acldefault('s', pg_class.relowner)
            else acldefault('r', pg_class.relowner)
        end
    ),
    -- A column's own sequence follows its table.
    case
        when exists (
            select
            from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid
                and pg_class.relkind = 'S' and pg_depend.deptype in ('i', 'a')
        ) then null
        else format(
            'alter %s %I.%I owner to %I',
            case pg_class.relkind
                when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
                when 'f' then 'foreign table' else 'table'
            end,
            schema_of_ours.name,
            pg_class.relname,
            schema_of_ours.keeper
        )
    end,
    schema_of_ours.keeper
from pg_class
inner join schema_of_ours on schema_of_ours.oid = pg_class.relnamespace
where
    pg_class.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (
        select
        from pg_depend
        where
            pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid
            and pg_depend.deptype = 'e'
    )

union all
select
    'function',
    schema_of_ours.name,
    pg_proc.oid::regprocedure::text,
    format('routine %s', pg_proc.oid::regprocedure),
    pg_proc.proowner,
    coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner)),
    format('alter routine %s owner to %I', pg_proc.oid::regprocedure, schema_of_ours.keeper),
    schema_of_ours.keeper
from pg_proc
inner join schema_of_ours on schema_of_ours.oid = pg_proc.pronamespace
where
    not exists (
        select
        from pg_depend
        where
            pg_depend.classid = 'pg_proc'::regclass and pg_depend.objid = pg_proc.oid
            and pg_depend.deptype = 'e'
    )

union all
-- Settings of the server that somebody may change, or shall: a superuser alone decides about them.
select
    'parameter',
    null,
    setting.name,
    format('parameter %I', setting.name),
    -- The first superuser, who is their owner.
    10::oid,
    coalesce(present.paracl, acldefault('p', 10)),
    null,
    null
from (
    select privilege.name from declared.privilege
    where privilege.kind = 'parameter'
    union
    select parname from pg_parameter_acl
) as setting (name)
left join pg_parameter_acl as present on present.parname = setting.name
where current_setting('is_superuser') = 'on';

create view declared.privilege_difference as
with
-- Whose rights the matrix rules, with "public" as GRANT writes it.
ruled as (
    select
        pg_roles.oid,
        quote_ident(role.name) as grantee
    from declared.role
    inner join pg_roles on pg_roles.rolname = role.name
    union all
    select
        0,
        'public'
),

wanted as (
    select
        securable.target,
        -- NULL where the owner will be the declared one, whoever it is now.
        case when securable.ownership is null then securable.owner end as lasting_owner,
        quote_ident(privilege.role) as grantee,
        wanted_right
    from declared.securable
    inner join declared.privilege
        on
            privilege.kind = securable.kind
            and privilege.schema is not distinct from securable.schema
            and (privilege.name is null or privilege.name = securable.name)
    cross join unnest(privilege.rights) as wanted_right
),

present as (
    select
        securable.target,
        securable.owner,
        ruled.grantee,
        entry.privilege_type as present_right,
        entry.is_grantable
    from declared.securable
    cross join aclexplode(securable.acl) as entry
    inner join ruled on ruled.oid = entry.grantee
    where entry.grantee <> securable.owner
),

wanted_default as (
    select
        privilege.kind,
        quote_ident(privilege.role) as grantee,
        wanted_right
    from declared.privilege
    cross join unnest(privilege.rights) as wanted_right
    where
        privilege.schema = 'public' and privilege.name is null
        and privilege.kind in ('table', 'sequence')
),

present_default as (
    select
        case pg_default_acl.defaclobjtype when 'r' then 'table' when 'S' then 'sequence' end as kind,
        ruled.grantee,
        entry.privilege_type as present_right
    from pg_default_acl
    inner join pg_roles as creator on creator.oid = pg_default_acl.defaclrole
    inner join pg_namespace on pg_namespace.oid = pg_default_acl.defaclnamespace
    cross join aclexplode(pg_default_acl.defaclacl) as entry
    inner join ruled on ruled.oid = entry.grantee
    where
        creator.rolname = 'atlas_owner' and pg_namespace.nspname = 'public'
        and pg_default_acl.defaclobjtype in ('r', 'S')
)

-- The right to create in public comes first: an owner must have it.
select
    case when wanted.target = 'schema public' then 70 else 74 end as step,
    format(
        'grant %s on %s to %s',
        string_agg(wanted.wanted_right, ', ' order by wanted.wanted_right), wanted.target, wanted.grantee
    ) as statement
from wanted
left join present
    on
        present.target = wanted.target and present.grantee = wanted.grantee
        and present.present_right = wanted.wanted_right
where
    present.target is null
    and wanted.lasting_owner is distinct from (
        select pg_roles.oid from pg_roles
        where quote_ident(pg_roles.rolname) = wanted.grantee
    )
group by wanted.target, wanted.grantee

union all
select
    71,
    ownership
from declared.securable
where ownership is not null and pg_get_userbyid(owner) <> keeper

union all
select
    72,
    format(
        'revoke %s%s on %s from %s',
        case when wanted.target is null then '' else 'grant option for ' end,
        string_agg(present.present_right, ', ' order by present.present_right),
        present.target,
        present.grantee
    )
from present
left join wanted
    on
        wanted.target = present.target and wanted.grantee = present.grantee
        and wanted.wanted_right = present.present_right
where wanted.target is null or present.is_grantable
group by wanted.target is null, wanted.target, present.target, present.grantee

union all
-- Rights on single columns are not declared anywhere.
select
    73,
    format(
        'revoke %s (%I) on %s from %s',
        entry.privilege_type, pg_attribute.attname, securable.target, ruled.grantee
    )
from declared.securable
inner join pg_class
    on format('table %I.%I', pg_class.relnamespace::regnamespace, pg_class.relname) = securable.target
inner join pg_attribute on pg_attribute.attrelid = pg_class.oid
cross join aclexplode(pg_attribute.attacl) as entry
inner join ruled on ruled.oid = entry.grantee
where securable.kind = 'table'

union all
select
    75,
    format(
        'alter default privileges for role atlas_owner in schema public grant %s on %ss to %s',
        string_agg(wanted_default.wanted_right, ', ' order by wanted_default.wanted_right),
        wanted_default.kind,
        wanted_default.grantee
    )
from wanted_default
left join present_default
    on
        present_default.kind = wanted_default.kind
        and present_default.grantee = wanted_default.grantee
        and present_default.present_right = wanted_default.wanted_right
where present_default.kind is null
group by wanted_default.kind, wanted_default.grantee

union all
select
    76,
    format(
        'alter default privileges for role atlas_owner in schema public revoke %s on %ss from %s',
        present_default.present_right, present_default.kind, present_default.grantee
    )
from present_default
left join wanted_default
    on
        wanted_default.kind = present_default.kind
        and wanted_default.grantee = present_default.grantee
        and wanted_default.wanted_right = present_default.present_right
where wanted_default.kind is null

union all
-- Everybody may execute a new function, unless the creator's defaults say otherwise; and they
-- can only say so for all schemas together.
select
    77,
    'alter default privileges for role atlas_owner revoke execute on functions from public'
where not exists (
    select
    from pg_default_acl
    inner join pg_roles as creator on creator.oid = pg_default_acl.defaclrole
    where
        creator.rolname = 'atlas_owner' and pg_default_acl.defaclnamespace = 0
        and pg_default_acl.defaclobjtype = 'f'
        and not exists (
            select from aclexplode(pg_default_acl.defaclacl) as entry
            where entry.grantee = 0
        )
);
