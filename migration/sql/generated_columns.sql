-- The columns of a table that PostgreSQL computes.
select attname as column_name
from pg_catalog.pg_attribute
where attrelid = %(table)s::regclass and attgenerated <> '' and not attisdropped
