-- Rows whose key an earlier row already has. Rows that were there before the migration come first.
select
    n.row_id,
    n.beside_earlier
from (
    select
        t.ctid as row_id,
        row_number() over (partition by {columns} order by ({was_there}) desc, t.ctid) as number,
        bool_or({was_there}) over (partition by {columns}) as beside_earlier
    from {relation} as t
    where {present}
) as n
where n.number > 1
