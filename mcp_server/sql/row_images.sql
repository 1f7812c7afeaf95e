-- The rows that a call wrote, in the order in which it did.
--   $1  uuid
select
    position,
    table_name,
    operation,
    before,
    after,
    flaw
from audit.row_image
where call_id = $1
order by position
