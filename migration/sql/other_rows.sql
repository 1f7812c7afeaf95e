select
    table_name,
    bucket,
    rows,
    total
from migration.other_rows
where run_id = %(run_id)s
