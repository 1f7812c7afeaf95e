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
    row_values,
    replayed_values
from migration.quarantine
where id = %(id)s
