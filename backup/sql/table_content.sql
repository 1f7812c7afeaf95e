-- A table's rows, each as text, as one sum in which order does not count and duplicates do.
select
    count(*) as rows,
    coalesce(sum(hashtextextended((content.*)::text, 0)), 0)::text as digest
from {relation} as content
