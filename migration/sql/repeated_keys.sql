-- Rows whose key an earlier row already has.
select n.row_id
from (
    select
        t.ctid as row_id,
        row_number() over (partition by {columns} order by t.ctid) as number
    from {relation} as t
    where {present}
) as n
where n.number > 1
