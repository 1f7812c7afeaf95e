-- Which source rows of a run are still in quarantine, by their place in reading order.
select
    table_name,
    (source_key ->> 'position')::bigint as position
from migration.quarantine
where run_id = %(run_id)s and replayed_at is null
