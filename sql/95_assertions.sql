-- The assertions of checks/, for whoever heals: what holds before a fix has to hold after it, in the very
-- transaction that makes it. drift.sql is not among them: a heal compares with the declaration itself.
--
-- With the rights of atlas_guard, since mcp_heal may not run DO, and shall see no more for this than whether
-- a promise is kept. What only a superuser could put right (PostgreSQL's own functions, event triggers) the
-- files pass over where no superuser asks: run.sql judges these, and no fix of mcp_heal's can reach them.
--
-- PL/pgSQL, since the files raise what they find.

set local search_path = 'declared_ops', 'pg_catalog';

\ir checks/roles.sql
\ir checks/ownership.sql
\ir checks/privileges.sql
\ir checks/policies.sql
\ir checks/functions.sql
\ir checks/healing.sql
\ir checks/quarantine.sql
\ir checks/audit.sql

-- Each assertion, and what it raises; null where it holds.
create function assertions() returns table (assertion text, broken text)
language plpgsql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    foreach assertion in array
        array['roles', 'ownership', 'privileges', 'policies', 'functions', 'healing', 'quarantine', 'audit']
    loop
        broken := null;
        begin
            execute format('select ops.assert_%I()', assertion);
        -- Whatever it is: an assertion that cannot be made does not hold.
        exception when others then
            broken := sqlerrm;
        end;
        return next;
    end loop;
end
$$;

set local search_path = 'pg_catalog';
