-- Every table that keeps rows and comes back with a backup: none that is temporary or unlogged.
select
    n.nspname as schema,
    c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'm')
    and c.relpersistence = 'p'
    and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname
