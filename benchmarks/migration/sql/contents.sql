-- How many rows a table has, and a sum over all of their values: equal where the contents are.
select
    count(*) as rows,
    coalesce(sum(hashtextextended(contents::text, 0)::numeric), 0) as digest
from {relation} as contents
