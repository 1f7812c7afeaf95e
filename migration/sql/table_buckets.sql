-- A table's content by bucket: 64 bits of each row's digest are summed, of which the last 12 choose
-- the bucket. The clock is read only to keep the two steps apart (PostgreSQL merges no subquery that
-- calls a volatile function): the number is used twice and shall be made once. OFFSET 0 would do the
-- same, but not in parallel.
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
