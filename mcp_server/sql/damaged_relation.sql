-- Which table or index a file is, as messages about damaged pages name it: base/database/file.
--   $1  text, the database's number
--   $2  text, the file's
select
    pg_class.relkind in ('i', 'I') as is_index,
    pg_class.relname as name,
    coalesce(owner.relname, indexed.relname, pg_class.relname) as table_name
from pg_class
left join pg_index on pg_class.oid = pg_index.indexrelid
left join pg_class as indexed on pg_index.indrelid = indexed.oid
-- What was too large for a row lies in a table of its own.
left join pg_class as owner on coalesce(indexed.oid, pg_class.oid) = owner.reltoastrelid
where
    pg_class.oid = pg_filenode_relation(0, $2::text::oid)
    and $1::text::oid = (select pg_database.oid from pg_database where pg_database.datname = current_database())
