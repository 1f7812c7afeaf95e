-- What this transaction has done to the rows of each table: how many it wrote, and in which file they lie.
select
    pg_class.oid::regclass::text as name,
    pg_relation_filenode(pg_class.oid) as file,
    pg_stat_get_xact_tuples_inserted(pg_class.oid) + pg_stat_get_xact_tuples_updated(pg_class.oid)
    + pg_stat_get_xact_tuples_deleted(pg_class.oid) as written
from pg_class
where pg_class.relnamespace = 'public'::regnamespace and pg_class.relkind = 'r'
