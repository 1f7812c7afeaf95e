-- How near the connections are to as many as there may be.
--   $1  text: a double precision, the share from which on it matters
select
    'connections' as about,
    jsonb_build_object('used', used, 'most', most) as evidence,
    null as fix
from (
    select
        (select sum(numbackends) from pg_stat_database) as used,
        current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint as most
) as c
where used > $1::text::double precision * most
