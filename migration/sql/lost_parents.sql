-- How many rows refer to keys that are no longer there.
with gone as materialized (select * from ({changed}) as given)

select count(*) as orphans
from {relation} as t
where
    {present}
    and exists (select from gone as c where {among})
    and not exists (select from {parent} as p where {pairs})
