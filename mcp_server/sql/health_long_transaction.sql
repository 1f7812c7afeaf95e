-- Sessions that have been in one transaction for long: they hold locks, and vacuum removes nothing newer.
--   $1  text: a bigint, seconds from which on it matters
--   $2  text: a bigint, seconds of doing nothing in a transaction from which on it matters
select
    format('session %s of %s', pid, login) as about,
    jsonb_build_object(
        'state', state, 'transaction_seconds', transaction_seconds, 'state_seconds', state_seconds
    ) as evidence,
    format('select pg_terminate_backend(%s)', pid) as fix
from ops.sessions()
where
    transaction_seconds >= $1::text::bigint
    or state like 'idle in transaction%' and state_seconds >= $2::text::bigint
order by transaction_seconds desc
