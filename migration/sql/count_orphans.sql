-- How many rows break a foreign key, and how many it concerns.
select
    (select count(*) from ({orphans}) as o) as orphans,
    (select count(*) from {relation} as t where {present}) as children
