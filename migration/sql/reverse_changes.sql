-- What was logged and is not applied yet, the oldest first.
select
    id,
    table_number,
    key
from migration.reverse_change
where run_id = %(run_id)s
order by id
limit %(most)s
