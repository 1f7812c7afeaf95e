-- The rows of a run that were repaired and loaded later, as they were loaded.
select
    id,
    replayed_values,
    coalesce(source_position, (source_key ->> 'position')::bigint) as position
from migration.quarantine
where run_id = %(run_id)s and table_name = %(table)s and replayed_at is not null
order by id
