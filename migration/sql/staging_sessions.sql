-- Ends pgloader's sessions of a run that was killed: its process may live on and go on writing.
-- Run as the login itself, who may end its own sessions; the migration's lock is held, so no
-- other run's can be among them.
select pg_terminate_backend(pid, 5000)
from pg_stat_activity
where
    application_name = %(application)s
    and usename = current_user
    and datname = current_database()
    and pid <> pg_backend_pid()
