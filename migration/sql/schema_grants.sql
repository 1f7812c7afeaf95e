-- What lets everybody use a schema, and the tables that its owner makes in it, as they use public's:
-- the statements that grant it. Read from public as it is, so that there is one matrix of rights.
select format('grant usage on schema %%I to %%I', %(schema)s::text, grantee.rolname) as statement
from pg_catalog.pg_namespace as model
cross join aclexplode(model.nspacl) as entry
inner join pg_catalog.pg_roles as grantee on entry.grantee = grantee.oid
inner join pg_catalog.pg_namespace as made on made.nspname = %(schema)s
where
    model.nspname = %(model)s
    and entry.privilege_type = 'USAGE'
    and grantee.oid <> model.nspowner
    and grantee.rolname <> %(owner)s
    -- Of a schema that was there before, its owner decides who uses it.
    and made.nspowner = %(owner)s::regrole

union all
select
    format(
        'alter default privileges in schema %%I grant %%s on %%s to %%I',
        %(schema)s::text,
        entry.privilege_type,
        case acl.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' end,
        grantee.rolname
    )
from pg_catalog.pg_default_acl as acl
inner join pg_catalog.pg_namespace as model on acl.defaclnamespace = model.oid
cross join aclexplode(acl.defaclacl) as entry
inner join pg_catalog.pg_roles as grantee on entry.grantee = grantee.oid
where
    model.nspname = %(model)s
    and acl.defaclrole = %(owner)s::regrole
    and acl.defaclobjtype in ('r', 'S')
    and grantee.rolname <> %(owner)s
order by statement
