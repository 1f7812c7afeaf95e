-- The identity columns of the loaded tables.
select
    c.relname as table_name,
    a.attname as column_name
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
where
    c.relnamespace = (
        select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
    )
    and c.relname = any(%(tables)s)
    and a.attidentity <> ''
    and not a.attisdropped
order by c.relname
