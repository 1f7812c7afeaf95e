-- The types of a target table's columns: as casts name them, and as assignments check them.
-- (A cast to varchar(3) would cut a value silently; the assignment to such a column refuses it.)
select
    attname as name,
    format_type(atttypid, -1) as cast_type,
    format_type(atttypid, atttypmod) as checked_type
from pg_catalog.pg_attribute
where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped
