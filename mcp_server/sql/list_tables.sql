-- Tables and views of a schema. No row: no such schema. One row of NULLs: nothing in it.
--   $1  text, the schema
select
    pg_class.relname as table_name,
    case pg_class.relkind
        when 'r' then 'BASE TABLE'
        when 'p' then 'BASE TABLE'
        when 'v' then 'VIEW'
        when 'm' then 'MATERIALIZED VIEW'
        when 'f' then 'FOREIGN'
    end as table_type,
    case
        when pg_class.relkind in ('r', 'p', 'm') and pg_class.reltuples >= 0
            then pg_class.reltuples::bigint
    end as estimated_rows
from pg_namespace
left join pg_class
    on
        pg_namespace.oid = pg_class.relnamespace
        and pg_class.relkind in ('r', 'p', 'v', 'm', 'f')
where pg_namespace.nspname = $1
order by pg_class.relname
