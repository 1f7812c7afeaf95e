-- Keeps the log from now on.
select slot_name from pg_create_physical_replication_slot(%(slot)s, true)
