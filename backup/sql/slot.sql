-- The slot that keeps the server from removing what is not archived yet.
select
    active_pid,
    wal_status,
    restart_lsn::text as restart_lsn,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint as behind
from pg_replication_slots
where slot_name = %(slot)s
