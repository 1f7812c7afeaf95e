-- Take the rows that break a constraint out of their table; their digests lead back to the source.
-- Rows that were there before the migration stay, whatever they break.
with offending as (
    select
        o.row_id,
        o.beside_earlier
    from ({offenders}) as o
    where not ({was_there})
),

digests as (
    select * from ({digests}) as d
    where d.row_id in (select o.row_id from offending as o)
)

delete from {relation} as t
using digests as d
inner join offending as o on d.row_id = o.row_id
where t.ctid = d.row_id
returning
    d.digest,
    o.beside_earlier
