-- Back to that of docker/postgres/postgresql.conf.
alter system reset archive_timeout
