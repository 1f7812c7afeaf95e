-- Replication slots that nobody has read for a while: the log grows for them. And those that were given up.
--   $1  text: a double precision, seconds from which on it matters
select
    slot_name as about,
    jsonb_build_object(
        'state', wal_status,
        'inactive_seconds', round(extract(epoch from now() - inactive_since)),
        'bytes_left', safe_wal_size
    ) as evidence,
    null as fix
from pg_replication_slots
where
    wal_status in ('lost', 'unreserved')
    or not active and inactive_since < now() - make_interval(secs => $1::text::double precision)
order by 1
