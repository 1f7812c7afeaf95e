-- The staging tables that are there.
select relname
from pg_catalog.pg_class
where relnamespace = %(schema)s::regnamespace and relkind = 'r'
order by relname
