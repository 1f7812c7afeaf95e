-- Take out the rows with these keys.
with changed as materialized (select * from ({changed}) as given)

delete from {relation} as t
using changed as c
where {pairs}
