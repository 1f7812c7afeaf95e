-- What the platform and the agents need on a new table or view, as statements.
--
-- The default privileges of sql/ are for what the owner creates; this was created by mcp_heal.
-- The next run of load.sql hands it to the owner and grants the same.
--   $1  text, the name of the relation in schema public
select
    format(
        'grant %s on public.%I to %I', granted.rights, $1::text, granted.role
    ) as statement
from (
    values
    ('mcp_read', 'select'),
    ('mcp_write', 'select, insert, update, delete'),
    ('atlas', 'select, insert, update, delete')
) as granted (role, rights)
where granted.role in (select rolname from pg_roles)
