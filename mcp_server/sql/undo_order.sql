-- How far tables are from those that refer to none of the others. In a circle of references it ends somewhere.
--   $1  text[], qualified names
with recursive
target as (
    select
        name,
        to_regclass(name)::oid as oid
    from unnest($1::text[]) as name
),

reference as (
    select distinct
        pg_constraint.conrelid as child,
        pg_constraint.confrelid as parent
    from pg_constraint
    inner join target as child_target on child_target.oid = pg_constraint.conrelid
    inner join target as parent_target on parent_target.oid = pg_constraint.confrelid
    where pg_constraint.contype = 'f' and pg_constraint.conrelid <> pg_constraint.confrelid
),

placed as (
    select
        target.oid,
        0 as depth
    from target
    union
    select
        reference.child,
        placed.depth + 1
    from placed
    inner join reference on reference.parent = placed.oid
    where placed.depth < 50
)

select
    target.name,
    max(placed.depth) as depth
from target
inner join placed on placed.oid = target.oid
group by target.name
