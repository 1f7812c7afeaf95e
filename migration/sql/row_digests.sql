-- Each row of a relation with the digest of its canonical line.
select
    row_id,
    encode(sha256(convert_to({line}, 'UTF8')), 'hex') as digest
from (
    select
        ctid as row_id,
        {rendered}
    from {relation}
) as rendered
