-- Replicas that are behind.
--   $1  text: a bigint, bytes from which on it matters
--   $2  text: a bigint, seconds from which on it matters
select
    name as about,
    jsonb_build_object('bytes', behind_bytes, 'seconds', behind_seconds) as evidence,
    null as fix
from ops.replicas()
where behind_bytes >= $1::text::bigint or behind_seconds >= $2::text::bigint
order by 1
