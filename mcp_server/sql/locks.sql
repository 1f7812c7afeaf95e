-- The locks on tables and views that the transaction holds.
select
    pg_class.relname as relation,
    pg_locks.mode
from pg_locks
inner join pg_class on pg_locks.relation = pg_class.oid
where
    pg_locks.pid = pg_backend_pid()
    and pg_locks.granted
    and pg_class.relnamespace = 'public'::regnamespace
    and pg_class.relkind in ('r', 'p', 'v', 'm', 'f')
order by pg_class.relname, pg_locks.mode
