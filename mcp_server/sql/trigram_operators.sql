-- The operators of indexes of trigrams, where pg_trgm lies in schema ops (sql/15_schemas.sql).
select opclass.oid
from pg_opclass as opclass
inner join pg_namespace as namespace on opclass.opcnamespace = namespace.oid
where namespace.nspname = 'ops' and opclass.opcname = 'gin_trgm_ops'
