-- The rows that a call wrote, the last one first.
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
order by position desc
