-- The rows with these keys.
with changed as materialized (select * from ({changed}) as given)

select
    t.ctid,
    t.*
from {relation} as t
where exists (select from changed as c where {pairs})
