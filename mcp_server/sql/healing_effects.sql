-- What this transaction has done to the rows of each table: how many it wrote, and in which file they lie.
--   $1  text[], tables of public whose file's size is wanted: to ask for it waits for whoever locks the table
select
    pg_class.oid::bigint as id,
    pg_namespace.nspname as schema,
    pg_class.relname as name,
    pg_relation_filenode(pg_class.oid)::bigint as file,
    pg_stat_get_xact_tuples_inserted(pg_class.oid) + pg_stat_get_xact_tuples_updated(pg_class.oid)
    + pg_stat_get_xact_tuples_deleted(pg_class.oid) as written,
    case
        when pg_namespace.nspname = 'public' and pg_class.relname = any($1::text[])
            then pg_relation_size(pg_class.oid)
    end as size,
    current_setting('track_counts')::boolean as counted
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_class.relkind in ('r', 'm')
    and pg_namespace.nspname not in ('pg_catalog', 'information_schema')
    and pg_namespace.nspname !~ '^pg_(toast|temp)'
