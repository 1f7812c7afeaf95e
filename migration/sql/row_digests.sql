-- Each row of a relation with the digest of its canonical line.
-- The clock is read only to keep the two steps apart (PostgreSQL merges no subquery that calls a
-- volatile function): every value shall be rendered once, and hashed once, wherever it is used
-- again. OFFSET 0 would do the same, but not in parallel.
select
    row_id,
    md5({line}) as digest,
    clock_timestamp() as hashed_at
from (
    select
        ctid as row_id,
        clock_timestamp() as rendered_at,
        {rendered}
    from {relation}
) as rendered
