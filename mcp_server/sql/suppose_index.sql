-- Supposes an index for EXPLAIN in this session; its name in plans, NULL where hypopg is not there.
--   $1  text, its CREATE INDEX
select ops.suppose_index($1) as supposed
