-- Tables whose policies bind their owner too: COPY refuses those.
select relname
from pg_catalog.pg_class
where
    relnamespace = (
        select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
    )
    and relname = any(%(tables)s)
    and relforcerowsecurity
order by relname
