-- The rows of tables of a followed run that are in quarantine.
select
    id,
    table_name,
    source_key,
    row_values,
    -- Keys that were in the way may be gone; a value that cannot be, stays so until its row changes.
    coalesce(starts_with(sqlstate, '23'), false) as is_retried,
    replayed_at
from migration.quarantine
where run_id = %(run_id)s and table_name = any(%(tables)s)
order by id
