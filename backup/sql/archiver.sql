-- Whether PostgreSQL archives its log by pgBackRest, and how it fares. A segment that waits has a
-- file ….ready; a name of 24 characters is one, the others are histories and labels.
select
    current_setting('archive_mode') as archive_mode,
    starts_with(current_setting('archive_command'), 'atlas-pgbackrest ') as begun,
    last_archived_wal,
    last_failed_wal,
    last_failed_time at time zone 'UTC' as failing_since,
    coalesce(last_failed_time > last_archived_time, last_failed_time is not null) as failing,
    (
        select count(*) from pg_ls_archive_statusdir()
        where name ~ '^[0-9A-F]{24}\.ready$'
    ) as waiting
from pg_stat_archiver
