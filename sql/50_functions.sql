-- Which session an agent's connection is bound to, for the policies of 60_policies.sql.
--
-- The MCP server says so at the start of a transaction:
--     select set_config('app.current_session_id', $1, true);
-- Unset or empty means: bound to none, every session is seen. That suits agents that analyse
-- across sessions, and the platform, which sets nothing.
--
-- The path is pinned, so that no object of the caller's can take a name's place.

set local search_path = 'declared_app', 'pg_catalog';

create function session_text() returns text
language sql stable parallel safe
set search_path to 'pg_catalog', 'pg_temp'
return (
    -- A UUID in its usual form, since the platform writes it so into text columns.
    select
        coalesce(
            (case when pg_input_is_valid(bound.value, 'uuid') then bound.value::uuid end)::text,
            bound.value
        )
    from (select nullif(current_setting('app.current_session_id', true), '') as value) as bound
);

-- NULL where the session is unset, and also where its name is no UUID ("current_session"): a
-- comparison with it is then true for no row, and never an error.
create function session_uuid() returns uuid
language sql stable parallel safe
set search_path to 'pg_catalog', 'pg_temp'
return (
    select case when pg_input_is_valid(bound.value, 'uuid') then bound.value::uuid end
    from (select current_setting('app.current_session_id', true) as value) as bound
);

set local search_path = 'pg_catalog';
