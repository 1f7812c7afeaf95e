-- Moves the rows that break a foreign key into quarantine; their ids there.
--   $1  text, its table
--   $2  text, its name
--   $3  text, JSON: the foreign keys that sql/ declares
--   $4  bigint, the most rows that may be moved
select unnest(ops.quarantine_orphans(pg_constraint.oid, $3::text::jsonb, $4::bigint)) as entry
from pg_constraint
where pg_constraint.conrelid = to_regclass($1::text) and pg_constraint.conname = $2::text
