-- A table's content: how many rows, and the sum of 64 bits of each row's digest.
select
    count(*),
    coalesce(sum(('x' || left(digest, 16))::bit(64)::bigint), 0) as total
from ({digests}) as digests
