-- Every key, check, foreign key and index of the tables in public: the statement that drops it and
-- the one that makes it again, in the order in which they can be made. Dropping goes the other way.
with rules as (
    select
        case contype when 'f' then 3 else 1 end as step,
        conname::text as name,
        format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop_it,
        format(
            'alter table %s add constraint %I %s',
            conrelid::regclass, conname, pg_get_constraintdef(oid)
        ) as make_it
    from pg_catalog.pg_constraint
    where connamespace = 'public'::regnamespace and contype in ('p', 'u', 'x', 'c', 'f')
    union all
    select
        2 as step,
        relation.relname::text as name,
        format('drop index %s', relation.oid::regclass) as drop_it,
        pg_get_indexdef(relation.oid) as make_it
    from pg_catalog.pg_class as relation
    where
        relation.relkind = 'i'
        and relation.relnamespace = 'public'::regnamespace
        and not exists (
            select 1 from pg_catalog.pg_constraint as owner where owner.conindid = relation.oid
        )
)

select
    rules.drop_it,
    rules.make_it
from rules
order by rules.step, rules.name
