-- What a backup has to know of the server. The timeline is that of the log being written now; the
-- control file's is the last checkpoint's, which is another one just after a promotion.
select
    pg_is_in_recovery() as in_recovery,
    clock_timestamp() as now,
    current_setting('server_version') as version,
    current_setting('server_version_num')::int / 10000 as major,
    (select system_identifier::text from pg_control_system()) as system_identifier,
    pg_size_bytes(current_setting('wal_segment_size')) as segment_bytes,
    (
        select string_agg(spcname, ', ') from pg_tablespace
        where spcname not in ('pg_default', 'pg_global')
    ) as tablespaces,
    (
        select array_agg(datname::text order by datname) from pg_database
        where datallowconn and not datistemplate
    ) as databases
