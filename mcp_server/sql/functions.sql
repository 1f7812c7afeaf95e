-- What names may mean: the functions that PostgreSQL could call for them, and what it knows of each.
-- One row per function; of an operator, type or aggregate those that work for it.
--   $1  text[], names of functions
--   $2  text[], names of operators
--   $3  text[], names of types
with named (kind, name, schema, oid, least, most) as (
    select
        'function',
        pg_proc.proname,
        pg_proc.pronamespace,
        pg_proc.oid,
        pg_proc.pronargs - pg_proc.pronargdefaults,
        case when pg_proc.provariadic = 0 then pg_proc.pronargs end
    from pg_proc
    where pg_proc.proname = any($1::text[])

    union all
    -- What works for an aggregate runs under the aggregate's own name.
    select
        'function',
        pg_proc.proname,
        pg_proc.pronamespace,
        support.oid::oid,
        pg_proc.pronargs - pg_proc.pronargdefaults,
        case when pg_proc.provariadic = 0 then pg_proc.pronargs end
    from pg_proc
    inner join pg_aggregate on pg_aggregate.aggfnoid = pg_proc.oid
    cross join
        lateral (
            values
            (pg_aggregate.aggtransfn), (pg_aggregate.aggfinalfn), (pg_aggregate.aggmtransfn),
            (pg_aggregate.aggmfinalfn), (pg_aggregate.aggcombinefn)
        ) as support (oid)
    where pg_proc.proname = any($1::text[]) and support.oid <> 0

    union all
    select
        'operator',
        pg_operator.oprname,
        pg_operator.oprnamespace,
        pg_operator.oprcode::oid,
        0,
        null
    from pg_operator
    where pg_operator.oprname = any($2::text[])

    union all
    select
        'type',
        pg_type.typname,
        pg_type.typnamespace,
        support.oid::oid,
        0,
        null
    from pg_type
    cross join
        lateral (
            values (pg_type.typinput::oid), (pg_type.typoutput), (pg_type.typmodin)
            union all
            select pg_cast.castfunc from pg_cast where pg_cast.casttarget = pg_type.oid
        ) as support (oid)
    where pg_type.typname = any($3::text[]) and support.oid <> 0
)

select
    named.kind,
    named.name,
    pg_namespace.nspname as schema,
    named.least,
    named.most,
    pg_proc.oid,
    pg_proc.proname as function,
    pg_proc.oid::regprocedure::text as signature,
    pg_proc.provolatile::text as volatility,
    has_function_privilege(pg_proc.oid, 'EXECUTE') as executable,
    -- An extension's author has thought of it; anybody else's works with the rights of its owner.
    pg_proc.prosecdef and pg_depend.objid is null as owner_rights
from named
inner join pg_proc on named.oid = pg_proc.oid
inner join pg_namespace on named.schema = pg_namespace.oid
left join pg_depend
    on
        pg_depend.classid = 'pg_proc'::regclass and pg_depend.objid = pg_proc.oid
        and pg_depend.deptype = 'e'
