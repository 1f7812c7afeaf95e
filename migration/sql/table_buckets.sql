-- A table's content by bucket: 64 bits of each row's digest are summed, of which the last 12 choose
-- the bucket.
select
    number & 4095 as bucket,
    count(*),
    sum(number) as total
from (
    select
        clock_timestamp() as converted_at,
        ('x' || left(digest, 16))::bit(64)::bigint as number
    from ({digests}) as digests
) as numbers
group by bucket
