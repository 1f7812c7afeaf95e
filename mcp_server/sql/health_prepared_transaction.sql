-- Transactions that somebody prepared and forgot.
--   $1  text: a bigint, seconds from which on it matters
select
    name as about,
    jsonb_build_object('login', login, 'seconds', seconds) as evidence,
    format('rollback prepared %L', name) as fix
from ops.prepared_transactions()
where seconds >= $1::text::bigint
order by seconds desc
