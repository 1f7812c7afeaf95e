-- Every name that a new relation of the schema cannot have, since tables, indexes, sequences,
-- views and types share one space of names.
select relname
from pg_catalog.pg_class
where relnamespace = (
    select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
)
