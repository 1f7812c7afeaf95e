-- Ends what a killed run of ours left at work, known by its application_name.
select pg_terminate_backend(pid, 10000) as ended
from pg_stat_activity
where application_name = %(name)s and pid <> pg_backend_pid()
