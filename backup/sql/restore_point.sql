-- A name for this moment, which a restore can stop at.
select pg_create_restore_point(%(name)s)::text as lsn
