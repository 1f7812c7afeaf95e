-- A page of quarantined rows; a part of the filter that is NULL was not asked for.
-- Of their values the refused one alone comes along.
select
    id,
    run_id,
    table_name,
    source_key,
    column_name,
    reason,
    sqlstate,
    created_at,
    replayed_at,
    source_position,
    row_values -> column_name as refused_value
from migration.quarantine
where
    (%(only_run)s::bigint is null or run_id = %(only_run)s)
    and (%(only_table)s::text is null or table_name = %(only_table)s)
    and (%(only_column)s::text is null or column_name = %(only_column)s)
    and (%(only_sqlstate)s::text is null or sqlstate = %(only_sqlstate)s)
    and (%(only_ids)s::bigint[] is null or id = any(%(only_ids)s))
    and (%(also_replayed)s or replayed_at is null)
order by id
limit %(page_size)s offset %(skipped)s
