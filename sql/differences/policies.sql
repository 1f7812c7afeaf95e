-- Row-level security of the declared tables, compared with what is, as statements.
--
-- A policy that is there and not declared goes: a permissive one could show rows, a restrictive
-- one hide them from the platform.

create view declared.policy_pair as
with printed as (
    select
        pg_policy.polrelid,
        pg_policy.polname as name,
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
        ) as definition
    from pg_policy
)

select
    coalesce(relation.qualified, actual.qualified) as qualified,
    coalesce(declaration.name, actual.name) as name,
    replace(declaration.definition, 'declared_', '') as definition,
    actual.definition as actual_definition
from declared.relation_pair as relation
inner join printed as declaration on declaration.polrelid = relation.declared_oid
full join (
    select
        actual_relation.qualified,
        printed.name,
        printed.definition
    from declared.relation_pair as actual_relation
    inner join printed on printed.polrelid = actual_relation.actual_oid
) as actual
    on actual.qualified = relation.qualified and actual.name = declaration.name;

create view declared.policy_difference as
select
    80 as step,
    format(
        'alter table %s %s row level security, %s row level security',
        relation.qualified,
        case when declaration.relrowsecurity then 'enable' else 'disable' end,
        case when declaration.relforcerowsecurity then 'force' else 'no force' end
    ) as statement
from declared.relation_pair as relation
inner join pg_class as declaration on declaration.oid = relation.declared_oid
inner join pg_class as actual on actual.oid = relation.actual_oid
where
    relation.kind = 'r'
    and (declaration.relrowsecurity, declaration.relforcerowsecurity)
    <> (actual.relrowsecurity, actual.relforcerowsecurity)

union all
select
    81,
    format('drop policy %I on %s', name, qualified)
from declared.policy_pair
where actual_definition is not null and definition is distinct from actual_definition

union all
select
    82,
    format('create policy %I on %s %s', name, qualified, definition)
from declared.policy_pair
where definition is not null and definition is distinct from actual_definition

union all
-- Once no policy calls them any more.
select
    83,
    format('drop function %s', signature)
from declared.former_function
where to_regprocedure(signature) is not null;
