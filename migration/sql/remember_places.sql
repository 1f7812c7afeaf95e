-- The places of the rows that are there before the load. No row moves until the commit: the table
-- is locked against others, and the migration updates none.
create temporary table {places} on commit drop as
select
    t.ctid as row_id,
    false as matched
from {relation} as t
