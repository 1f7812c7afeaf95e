-- Rows whose parent is not there.
select t.ctid as row_id
from {relation} as t
where
    {present}
    and not exists (select from {parent} as p where {pairs})
