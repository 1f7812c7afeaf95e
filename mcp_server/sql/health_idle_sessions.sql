-- Logins with many sessions that do nothing: pools that are never closed leak them.
--   $1  text: a bigint, seconds from which on a session is idle for long
--   $2  text: a bigint, the number of such sessions from which on it matters
select
    login as about,
    jsonb_build_object('sessions', count(*), 'longest_seconds', max(state_seconds)) as evidence,
    null as fix
from ops.sessions()
where state = 'idle' and state_seconds >= $1::text::bigint
group by login
having count(*) >= $2::text::bigint
order by login
