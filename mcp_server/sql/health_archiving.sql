-- The write-ahead log cannot be archived: no backup can be restored to a moment from then on.
select
    'archiver' as about,
    jsonb_build_object(
        'failed', failed_count, 'last_failed', last_failed_time, 'last_archived', last_archived_time
    ) as evidence,
    null as fix
from pg_stat_archiver
where last_failed_time is not null and (last_archived_time is null or last_archived_time < last_failed_time)
