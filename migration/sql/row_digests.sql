-- Each row of a relation with the digest of its canonical line. A text's bytes are those that are
-- sent to this client, so UTF-8; convert_to would check them once more.
select
    row_id,
    encode(sha256(textsend({line})), 'hex') as digest
from (
    select
        ctid as row_id,
        {rendered}
    from {relation}
) as rendered
