-- Let the server know what is archived. Not while somebody receives: then it is told anyway.
select pg_replication_slot_advance(slot_name, %(lsn)s::pg_lsn)
from pg_replication_slots
where slot_name = %(slot)s and active_pid is null and restart_lsn < %(lsn)s::pg_lsn
