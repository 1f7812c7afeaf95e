-- The rows of some buckets: digest, canonical values, and values as people read them.
select
    d.digest,
    array[{canonical}] as canonical,
    array[{shown}] as shown
from {relation} as t
inner join ({digests}) as d on t.ctid = d.row_id
where ('x' || substr(d.digest, 14, 3))::bit(12)::int = any({buckets})
