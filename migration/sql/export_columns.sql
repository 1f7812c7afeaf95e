-- Every table of a schema with its columns: those of a partitioned table, not of its parts.
select
    c.relname as table_name,
    a.attname as column_name,
    format_type(a.atttypid, null) as pg_type,
    a.attnotnull as not_null
from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
where
    c.relnamespace = (
        select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
    )
    and c.relkind in ('r', 'p')
    and not c.relispartition
    and a.attnum > 0
    and not a.attisdropped
order by c.relname, a.attnum
