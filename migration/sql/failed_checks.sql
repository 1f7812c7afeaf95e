-- Rows for which a CHECK is false.
select t.ctid as row_id
from {relation} as t
where not ({expression})
