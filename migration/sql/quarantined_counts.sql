-- Quarantined rows by cause, the most frequent first. A reason may quote the value: without it,
-- equal causes are counted as one.
select
    table_name,
    column_name,
    regexp_replace(
        regexp_replace(split_part(reason, ': ', 1), '^-?[0-9]\S* ', '… '), '"[^"]*"', '"…"', 'g'
    ) as cause,
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
group by table_name, column_name, cause, sqlstate
order by count(*) desc, table_name asc, column_name asc, cause asc, sqlstate asc
