-- Each row of a relation with the digest of its canonical line.
select
    row_id,
    md5({line}) as digest
from (
    select
        ctid as row_id,
        {rendered}
    from {relation}
) as rendered
