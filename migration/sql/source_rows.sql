-- The rows that a merge has to account for: those that were there before only where the source
-- has them too.
select
    d.row_id,
    d.digest
from ({digests}) as d
where not exists (
    select from {places} as e
    where e.row_id = d.row_id and not e.matched
)
