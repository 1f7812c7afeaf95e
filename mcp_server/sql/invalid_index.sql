-- The index that a failed CREATE INDEX CONCURRENTLY left behind, as a statement that removes it.
--   $1  text, its name
select
    format('drop index concurrently public.%I', pg_class.relname) as statement,
    pg_index.indisunique as is_unique
from pg_index
inner join pg_class on pg_index.indexrelid = pg_class.oid
where
    pg_class.oid = to_regclass(format('public.%I', $1::text))
    and not pg_index.indisvalid
