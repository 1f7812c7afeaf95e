-- A table's content by bucket: 12 bits of a row's digest choose the bucket, 64 others are summed.
select
    ('x' || substr(digest, 17, 3))::bit(12)::int as bucket,
    count(*),
    sum(('x' || left(digest, 16))::bit(64)::bigint) as total
from ({digests}) as digests
group by bucket
