-- Tables whose policies bind their owner too: COPY refuses those.
select relname
from pg_catalog.pg_class
where
    relnamespace = %(schema)s::regnamespace
    and relname = any(%(tables)s)
    and relforcerowsecurity
order by relname
