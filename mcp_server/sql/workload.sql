-- What the platform and agents ask this database most of all, and how often.
--   $1  text: a bigint, how many statements
select
    statement,
    calls
from ops.slow_statements()
where calls > 0 and statement ~* '^\s*select\M'
order by total_ms desc
limit $1::text::bigint
