-- Each row of a relation with the digest of its canonical line. Every value is rendered once, in
-- an inner query that OFFSET 0 keeps PostgreSQL from flattening: its length and its text are both
-- needed, and JSON is costly to print.
select
    row_id,
    md5({line}) as digest
from (
    select
        ctid as row_id,
        {rendered}
    from {relation}
    offset 0
) as rendered
