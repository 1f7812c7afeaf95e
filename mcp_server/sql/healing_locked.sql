-- The relations that this transaction has locked exclusively: only these can it have rewritten, made or dropped.
select pg_locks.relation::bigint as id
from pg_locks
where
    pg_locks.locktype = 'relation' and pg_locks.mode = 'AccessExclusiveLock' and pg_locks.granted
    and pg_locks.pid = pg_backend_pid()
