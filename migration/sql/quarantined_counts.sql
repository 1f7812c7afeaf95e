-- Quarantined rows by cause, the most frequent first.
select
    table_name,
    column_name,
    reason,
    sqlstate,
    count(*) as rows,
    count(replayed_at) as replayed
from migration.quarantine
where
    (%(only_run)s::bigint is null or run_id = %(only_run)s)
    and (%(only_table)s::text is null or table_name = %(only_table)s)
    and (%(only_column)s::text is null or column_name = %(only_column)s)
    and (%(only_sqlstate)s::text is null or sqlstate = %(only_sqlstate)s)
    and (%(only_ids)s::bigint[] is null or id = any(%(only_ids)s))
    and (%(also_replayed)s or replayed_at is null)
group by table_name, column_name, reason, sqlstate
order by count(*) desc, table_name asc, column_name asc, reason asc, sqlstate asc
