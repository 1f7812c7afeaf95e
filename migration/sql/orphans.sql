-- Rows whose parent is not there.
select
    t.ctid as row_id,
    false as beside_earlier
from {relation} as t
where
    {present}
    and not exists (select from {parent} as p where {pairs})
