-- Which source rows of a run went to quarantine, by their place in reading order.
select
    table_name,
    coalesce(source_position, (source_key ->> 'position')::bigint) as position
from migration.quarantine
where run_id = %(run_id)s
