-- Rows for which a CHECK is false.
select
    t.ctid as row_id,
    false as beside_earlier
from {relation} as t
where not ({expression})
