-- The catalogue of a database as facts: what is there, and how it is defined.
--
-- Run in a database that sql/ alone made it is the declaration; run in a live one, what has become of it.
-- With an empty search_path names are printed with their schemas, so that definitions can be compared as
-- they are printed. What extensions brought is theirs; temporary and scratch schemas are nobody's.
--
-- position and owned_by are for repairs, and not compared.
with
ours as (
    select
        oid,
        nspname
    from pg_namespace
    where nspname !~ '^(pg_|declared($|_)|information_schema$)'
),

brought as (
    select
        classid,
        objid
    from pg_depend
    where deptype = 'e'
),

relation as (
    select
        pg_class.*,
        ours.nspname as schema,
        format('%I.%I', ours.nspname, pg_class.relname) as qualified
    from pg_class
    inner join ours on ours.oid = pg_class.relnamespace
    where not exists (
        select from brought
        where brought.classid = 'pg_class'::regclass and brought.objid = pg_class.oid
    )
),

routine as (
    select
        pg_proc.*,
        ours.nspname as schema,
        pg_proc.oid::regprocedure::text as signature
    from pg_proc
    inner join ours on ours.oid = pg_proc.pronamespace
    where not exists (
        select from brought
        where brought.classid = 'pg_proc'::regclass and brought.objid = pg_proc.oid
    )
),

-- Whatever has an owner and rights, by the name that GRANT calls it.
securable as (
    select
        nspname as schema,
        'schema ' || quote_ident(nspname) as target,
        nspowner as owner,
        coalesce(nspacl, acldefault('n', nspowner)) as acl,
        -- A database, PostgreSQL's own things and public are the site's; a column's sequence its table's.
        nspname <> 'public' as has_owner
    from pg_namespace
    where oid in (select ours.oid from ours)
    union all
    select
        schema,
        case relkind when 'S' then 'sequence ' else 'table ' end || qualified,
        relowner,
        coalesce(relacl, case relkind when 'S' then acldefault('s', relowner) else acldefault('r', relowner) end),
        relkind <> 'S' or not exists (
            select
            from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = relation.oid
                and pg_depend.deptype in ('i', 'a') and pg_depend.refclassid = 'pg_class'::regclass
        )
    from relation
    where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select
        schema,
        'routine ' || signature,
        proowner,
        coalesce(proacl, acldefault('f', proowner)),
        true
    from routine
    union all
    select
        '',
        'database',
        datdba,
        coalesce(datacl, acldefault('d', datdba)),
        false
    from pg_database
    where datname = current_database()
    union all
    select
        '',
        'language ' || lanname,
        lanowner,
        coalesce(lanacl, acldefault('l', lanowner)),
        false
    from pg_language
    where lanname = 'plpgsql'
    union all
    select
        '',
        'parameter ' || parname,
        10::oid,
        paracl,
        false
    from pg_parameter_acl
    union all
    -- Functions of PostgreSQL's own whose rights were changed (80_acting_functions.sql).
    select
        'pg_catalog',
        'routine ' || pg_proc.oid::regprocedure,
        pg_proc.proowner,
        pg_proc.proacl,
        false
    from pg_proc
    left join pg_init_privs
        on
            pg_init_privs.classoid = 'pg_proc'::regclass and pg_init_privs.objoid = pg_proc.oid
            and pg_init_privs.objsubid = 0
    where
        pg_proc.pronamespace = 'pg_catalog'::regnamespace
        and pg_proc.proacl is distinct from pg_init_privs.initprivs
)

select
    'schema' as kind,
    nspname as schema,
    '' as relation,
    nspname as name,
    '{}'::jsonb as definition
from ours

union all
select
    case when relkind in ('r', 'p') then 'table' else 'other relation' end,
    schema,
    '',
    relname,
    jsonb_build_object(
        'persistence', relpersistence, 'row_security', relrowsecurity, 'forced_row_security', relforcerowsecurity
    )
from relation
where relkind in ('r', 'p', 'm', 'f')

union all
select
    'column',
    relation.schema,
    relation.relname,
    pg_attribute.attname,
    jsonb_build_object(
        'type', format_type(pg_attribute.atttypid, pg_attribute.atttypmod),
        'not_null', pg_attribute.attnotnull,
        'default', pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid),
        'identity', nullif(pg_attribute.attidentity, ''),
        'generated', nullif(pg_attribute.attgenerated, ''),
        'position', pg_attribute.attnum
    )
from relation
inner join pg_attribute on pg_attribute.attrelid = relation.oid
left join pg_attrdef
    on pg_attrdef.adrelid = pg_attribute.attrelid and pg_attrdef.adnum = pg_attribute.attnum
where relation.relkind in ('r', 'p') and pg_attribute.attnum > 0 and not pg_attribute.attisdropped

union all
select
    'constraint',
    relation.schema,
    relation.relname,
    pg_constraint.conname,
    jsonb_build_object(
        'type', pg_constraint.contype,
        'definition', regexp_replace(pg_get_constraintdef(pg_constraint.oid), ' NOT VALID$', ''),
        'validated', pg_constraint.convalidated
    )
from relation
inner join pg_constraint on pg_constraint.conrelid = relation.oid
-- PostgreSQL 18 keeps NOT NULL there as well; a constraint trigger is a trigger.
where pg_constraint.contype not in ('n', 't')

union all
select
    'index',
    relation.schema,
    indexed.relname,
    relation.relname as index_name,
    jsonb_build_object('definition', pg_get_indexdef(relation.oid), 'valid', pg_index.indisvalid)
from relation
inner join pg_index on pg_index.indexrelid = relation.oid
inner join pg_class as indexed on indexed.oid = pg_index.indrelid
where
    indexed.relkind in ('r', 'p', 'm')
    and not exists (
        select from pg_constraint
        where pg_constraint.conindid = relation.oid and pg_constraint.contype in ('p', 'u', 'x')
    )

union all
select
    'sequence',
    relation.schema,
    '',
    relation.relname,
    jsonb_build_object(
        'type', format_type(pg_sequence.seqtypid, null), 'start', pg_sequence.seqstart,
        'increment', pg_sequence.seqincrement, 'minimum', pg_sequence.seqmin, 'maximum', pg_sequence.seqmax,
        'cycle', pg_sequence.seqcycle,
        'owned_by', (
            select pg_depend.refobjid::regclass::text
            from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = relation.oid
                and pg_depend.deptype in ('i', 'a') and pg_depend.refclassid = 'pg_class'::regclass
            limit 1
        )
    )
from relation
inner join pg_sequence on pg_sequence.seqrelid = relation.oid

union all
select
    'view',
    schema,
    '',
    relname,
    jsonb_build_object('definition', pg_get_viewdef(oid), 'options', to_jsonb(reloptions))
from relation
where relkind = 'v'

union all
select
    'function',
    schema,
    '',
    signature,
    jsonb_build_object(
        'definition', case when prokind in ('f', 'p', 'w') then pg_get_functiondef(oid) else 'aggregate' end
    )
from routine

union all
select
    'policy',
    relation.schema,
    relation.relname,
    pg_policy.polname,
    jsonb_build_object(
        'definition',
        format(
            'as %s for %s to %s%s%s',
            case when pg_policy.polpermissive then 'permissive' else 'restrictive' end,
            case pg_policy.polcmd
                when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                when 'd' then 'delete' else 'all'
            end,
            (
                select string_agg(grantee.name, ', ' order by grantee.name)
                from unnest(pg_policy.polroles) as member (oid)
                cross join lateral (
                    select case member.oid when 0 then 'public' else member.oid::regrole::text end as name
                ) as grantee
            ),
            ' using (' || pg_get_expr(pg_policy.polqual, pg_policy.polrelid) || ')',
            ' with check (' || pg_get_expr(pg_policy.polwithcheck, pg_policy.polrelid) || ')'
        )
    )
from relation
inner join pg_policy on pg_policy.polrelid = relation.oid

union all
select
    'trigger',
    relation.schema,
    relation.relname,
    pg_trigger.tgname,
    jsonb_build_object('definition', pg_get_triggerdef(pg_trigger.oid), 'enabled', pg_trigger.tgenabled)
from relation
inner join pg_trigger on pg_trigger.tgrelid = relation.oid
where not pg_trigger.tgisinternal

union all
select
    'event trigger',
    '',
    '',
    evtname,
    jsonb_build_object(
        'event', evtevent, 'function', evtfoid::regproc::text, 'enabled', evtenabled, 'tags', to_jsonb(evttags)
    )
from pg_event_trigger

union all
select
    'comment',
    relation.schema,
    relation.relname,
    coalesce(pg_attribute.attname, ''),
    jsonb_build_object('text', pg_description.description)
from relation
inner join pg_description
    on pg_description.objoid = relation.oid and pg_description.classoid = 'pg_class'::regclass
left join pg_attribute
    on
        pg_attribute.attrelid = pg_description.objoid
        and pg_attribute.attnum = pg_description.objsubid and pg_description.objsubid > 0

union all
select
    'rights',
    securable.schema,
    '',
    securable.target,
    jsonb_build_object(
        'owner', case when securable.has_owner then pg_get_userbyid(securable.owner) end,
        'rights', (
            select jsonb_object_agg(held.grantee, held.rights)
            from (
                select
                    coalesce(pg_roles.rolname, 'public') as grantee,
                    jsonb_agg(
                        entry.privilege_type || case when entry.is_grantable then ' with grant option' else '' end
                        order by entry.privilege_type
                    ) as rights
                from aclexplode(securable.acl) as entry
                left join pg_roles on pg_roles.oid = entry.grantee
                where entry.grantee <> securable.owner
                group by pg_roles.rolname
            ) as held
        )
    )
from securable

union all
select
    'column rights',
    relation.schema,
    relation.relname,
    pg_attribute.attname,
    jsonb_build_object(
        'rights', (
            select jsonb_object_agg(held.grantee, held.rights)
            from (
                select
                    coalesce(pg_roles.rolname, 'public') as grantee,
                    jsonb_agg(entry.privilege_type order by entry.privilege_type) as rights
                from aclexplode(pg_attribute.attacl) as entry
                left join pg_roles on pg_roles.oid = entry.grantee
                group by pg_roles.rolname
            ) as held
        )
    )
from relation
inner join pg_attribute on pg_attribute.attrelid = relation.oid
where pg_attribute.attacl <> '{}' and not pg_attribute.attisdropped

union all
select
    'default rights',
    coalesce(ours.nspname, ''),
    pg_default_acl.defaclrole::regrole::text,
    case pg_default_acl.defaclobjtype
        when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
        else 'schemas'
    end,
    jsonb_build_object(
        'rights', (
            select jsonb_object_agg(held.grantee, held.rights)
            from (
                select
                    coalesce(pg_roles.rolname, 'public') as grantee,
                    jsonb_agg(entry.privilege_type order by entry.privilege_type) as rights
                from aclexplode(pg_default_acl.defaclacl) as entry
                left join pg_roles on pg_roles.oid = entry.grantee
                where entry.grantee <> pg_default_acl.defaclrole
                group by pg_roles.rolname
            ) as held
        )
    )
from pg_default_acl
left join ours on ours.oid = pg_default_acl.defaclnamespace

union all
select
    'role',
    '',
    '',
    pg_roles.rolname,
    jsonb_build_object(
        'login', pg_roles.rolcanlogin, 'inherit', pg_roles.rolinherit, 'connection_limit', pg_roles.rolconnlimit,
        'superuser', pg_roles.rolsuper, 'createdb', pg_roles.rolcreatedb, 'createrole', pg_roles.rolcreaterole,
        'replication', pg_roles.rolreplication, 'bypassrls', pg_roles.rolbypassrls
    )
from pg_roles
where pg_roles.rolname !~ '^pg_'

union all
select
    'setting',
    '',
    pg_roles.rolname,
    split_part(entry, '=', 1),
    jsonb_build_object('value', substr(entry, strpos(entry, '=') + 1))
from pg_db_role_setting
inner join pg_roles on pg_roles.oid = pg_db_role_setting.setrole
cross join unnest(pg_db_role_setting.setconfig) as entry
where
    pg_db_role_setting.setdatabase in (
        0, (
            select pg_database.oid from pg_database
            where pg_database.datname = current_database()
        )
    )

union all
select
    'membership',
    '',
    role.rolname,
    member.rolname as member_name,
    jsonb_build_object(
        'inherit', bool_or(membership.inherit_option), 'set', bool_or(membership.set_option),
        'admin', bool_or(membership.admin_option)
    )
from pg_auth_members as membership
inner join pg_roles as role on role.oid = membership.roleid
inner join pg_roles as member on member.oid = membership.member
group by role.rolname, member.rolname
