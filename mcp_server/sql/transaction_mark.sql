-- Which transaction of which backend this is; app.context() compares with the same.
select
    pg_backend_pid()
    || '/' || (extract(epoch from transaction_timestamp()) * 1000000)::bigint as mark
