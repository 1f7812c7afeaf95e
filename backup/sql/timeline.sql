-- The timeline of the log that is being written, and how long the server has been running.
select
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline,
    extract(epoch from now() - pg_postmaster_start_time())::int as seconds_since_start
