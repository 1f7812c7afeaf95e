-- When the backup was complete, and which transactions were not.
select
    clock_timestamp() as now,
    pg_current_snapshot()::text as snapshot
