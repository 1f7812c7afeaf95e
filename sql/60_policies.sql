-- Row-level security: a connection of the MCP server that is bound to a session sees and writes
-- the rows of that session, and of no other.
--
-- This is containment, not yet a boundary. The binding is a setting, and whoever writes SQL can
-- write set_config() too: it stops the mistakes of an honest agent, not a hostile one. An issue
-- of its own makes the binding unforgeable.
--
-- Two policies on each table:
--   all_rows       permissive: the privileges decide who comes in at all.
--   bound_session  restrictive, for the mcp_* logins: whatever else admits them, this holds. It
--                  must be restrictive since mcp_heal inherits from the owner, and a policy for
--                  the owner is one for mcp_heal as well.
-- FORCE, because an owner is otherwise exempt, and with it everyone who inherits from it. The
-- platform (atlas), the owner and the migration see everything; superusers always do.
--
-- (select app.session_text()) rather than a plain call: PostgreSQL evaluates it once per
-- statement (an InitPlan), not per row. A table that knows its session only by its task or step
-- asks for one that is visible, and so by way of that table's own policy.
-- A cost to know of: under a policy PostgreSQL uses an index only for operators that are marked
-- leakproof (=, <, > on uuid, text, timestamp are; jsonb's @> is not). The GIN indexes of these
-- tables serve the platform, not the mcp_* logins; those of the knowledge graph serve both.

set local search_path = 'declared_public', 'declared_app', 'pg_catalog';

do $$
declare
    name text;
begin
    foreach name in array array[
        'sessions', 'tasks', 'task_steps', 'tool_executions', 'logs', 'chat_history',
        'agent_messages', 'recovery_attempts', 'conversation_summaries',
        'behavioral_deviations', 'discoveries'
    ]
    loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format(
            'create policy all_rows on %I
             to atlas_owner, atlas, migrator, mcp_read, mcp_write, mcp_heal using (true)', name
        );
    end loop;
end
$$;

-- Tables that hold the session as a uuid.
create policy bound_session on sessions as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or id = (select session_uuid()));

create policy bound_session on tasks as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_uuid()));

create policy bound_session on agent_messages as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_uuid()));

create policy bound_session on behavioral_deviations as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_uuid()));

-- Tables that hold it as text: a UUID, or the literal current_session.
create policy bound_session on logs as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_text()));

create policy bound_session on chat_history as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_text()));

create policy bound_session on conversation_summaries as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select session_text()) is null or session_id = (select session_text()));

-- Tables that know it by their task or step.
create policy bound_session on task_steps as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select session_text()) is null
    or exists (
        select from tasks
        where tasks.id = task_steps.task_id
    )
);

create policy bound_session on tool_executions as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select session_text()) is null
    or exists (
        select from tasks
        where tasks.id = tool_executions.task_id
    )
    or (
        tool_executions.task_id is null
        and exists (
            select from task_steps
            where task_steps.id = tool_executions.step_id
        )
    )
);

create policy bound_session on recovery_attempts as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select session_text()) is null
    or exists (
        select from task_steps
        where task_steps.id = recovery_attempts.step_id
    )
);

create policy bound_session on discoveries as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select session_text()) is null
    or exists (
        select from tasks
        where tasks.id = discoveries.task_id
    )
);

set local search_path = 'pg_catalog';
