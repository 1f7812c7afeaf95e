-- The rows at these places: they have no key to be found by.
select
    t.ctid,
    t.*
from {relation} as t
where t.ctid = any({places}::tid[])
