-- Rights on functions that act, and on the language of DO, compared with what is, as statements.
--
-- By OID: a name stands for all functions that bear it, in pg_catalog and in every extension. What
-- cannot be called from SQL (trigger functions, handlers, anything with an internal argument) is left.

create view declared.acting_function as
select
    pg_proc.oid,
    pg_proc.oid::regprocedure::text as signature,
    coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner)) as acl,
    coalesce(pg_init_privs.initprivs, acldefault('f', pg_proc.proowner)) as first_acl
from pg_proc
inner join pg_type as result on result.oid = pg_proc.prorettype
left join pg_init_privs
    on
        pg_init_privs.classoid = 'pg_proc'::regclass and pg_init_privs.objoid = pg_proc.oid
        and pg_init_privs.objsubid = 0
where
    pg_has_role(current_user, pg_proc.proowner, 'USAGE')
    and (
        pg_proc.pronamespace = 'pg_catalog'::regnamespace
        or exists (
            select
            from pg_depend
            where
                pg_depend.classid = 'pg_proc'::regclass and pg_depend.objid = pg_proc.oid
                and pg_depend.deptype = 'e'
        )
    )
    -- Pseudo-types are what a call from SQL can neither give nor take; the others of them can be.
    and (
        result.typtype <> 'p'
        or result.typname in ('record', 'void', 'cstring', '_record')
        or result.typname like 'any%'
    )
    and not 'internal'::regtype = any(pg_proc.proargtypes::oid[])
    and (
        (
            pg_proc.provolatile = 'v'
            and not exists (
                select
                from declared.harmless_function as harmless
                where pg_proc.proname like harmless.pattern
            )
        )
        or exists (
            select
            from declared.named_function as named
            where pg_proc.proname like named.pattern
        )
    );

create view declared.function_difference as
with
unwanted as (
    select distinct
        acting.signature,
        coalesce(quote_ident(pg_roles.rolname), 'public') as grantee
    from declared.acting_function as acting
    cross join aclexplode(acting.acl) as entry
    left join pg_roles on pg_roles.oid = entry.grantee
    where
        entry.grantee = 0
        or pg_roles.rolname in (
            select role.name from declared.role
            where role.name <> 'atlas_functions'
        )
),

lacking as (
    select acting.signature
    from declared.acting_function as acting
    where
        not exists (
            select
            from aclexplode(acting.acl) as entry
            where entry.grantee = to_regrole('atlas_functions')
        )
        -- What PUBLIC never had, a superuser keeps to himself.
        and exists (
            select
            from aclexplode(acting.first_acl) as entry
            where entry.grantee = 0
        )
),

-- DO runs code in it; existing functions need no right to their language.
language as (
    select
        pg_language.oid,
        coalesce(pg_language.lanacl, acldefault('l', pg_language.lanowner)) as acl
    from pg_language
    where pg_language.lanname = 'plpgsql' and pg_has_role(current_user, pg_language.lanowner, 'USAGE')
)

select
    90 as step,
    format('grant execute on routine %s to atlas_functions', string_agg(signature, ', ' order by signature))
        as statement
from lacking
having count(*) > 0

union all
select
    91,
    format('revoke all on routine %s from %s', string_agg(signature, ', ' order by signature), grantee)
from unwanted
group by grantee

union all
select
    90,
    'grant usage on language plpgsql to atlas_functions'
from language
where
    not exists (
        select
        from aclexplode(language.acl) as entry
        where entry.grantee = to_regrole('atlas_functions')
    )

union all
select
    91,
    'revoke all on language plpgsql from public'
from language
cross join aclexplode(language.acl) as entry
where entry.grantee = 0;
