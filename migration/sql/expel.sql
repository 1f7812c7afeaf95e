-- Take the rows that break a constraint out of their table; their digests lead back to the source.
with offending as (
    select o.row_id from ({offenders}) as o
),

digests as (
    select * from ({digests}) as d
    where d.row_id in (select o.row_id from offending as o)
)

delete from {relation} as t
using digests as d
where t.ctid = d.row_id
returning d.digest
