-- Back to that of docker/postgres/postgresql.conf: nothing is archived.
alter system reset archive_command
