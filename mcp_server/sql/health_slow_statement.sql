-- Statements of the platform and of agents that take long each time, and took long altogether; the dearest first.
--   $1  text: a double precision, milliseconds on average from which on it matters
--   $2  text: a double precision, milliseconds since the statistics began from which on it matters
select
    id as about,
    jsonb_build_object(
        'statement', statement, 'calls', calls, 'mean_ms', round((total_ms / calls)::numeric, 1),
        'total_ms', round(total_ms::numeric), 'rows_per_call', rows_read / calls, 'blocks_per_call', blocks / calls,
        'indexed_at', indexed_at
    ) as evidence,
    null as fix,
    statement ~* '^\s*select\M' as alone
from ops.slow_statements()
where calls > 0 and total_ms >= $1::text::double precision * calls and total_ms >= $2::text::double precision
order by total_ms desc
limit 20
