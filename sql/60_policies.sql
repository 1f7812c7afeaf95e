-- Row-level security: an agent's transaction sees and writes what its sealed context lets it.
--
-- A transaction of an mcp_* login without a context that app.context() verifies sees no row of any
-- table here. Bound to a session it sees the rows of that session; bound to none it sees those of
-- every session, or of none where app.agent says so.
--
-- Two policies on each table:
--   all_rows       permissive: the privileges decide who comes in at all.
--   bound_session  restrictive, for the mcp_* logins: whatever else admits them, this holds. It
--                  must be restrictive since mcp_heal inherits from the owner, and a policy for
--                  the owner is one for mcp_heal as well.
-- FORCE, because an owner is otherwise exempt, and with it everyone who inherits from it. The
-- platform (atlas), the owner and the migration see everything; superusers always do.
--
-- (select … from app.context()) as a sub-select that refers to nothing outside: PostgreSQL evaluates
-- it once per statement (an InitPlan), not per row. A table that knows its session only by its task
-- or step asks for one that is visible, and so by way of that table's own policy.
-- "every_session or …" first: whoever sees every session pays for one comparison per row.
-- A cost to know of: under a policy PostgreSQL uses an index only for operators that are marked
-- leakproof (=, <, > on uuid, text, timestamp are; jsonb's @> is not). The GIN indexes of these
-- tables serve the platform, not the mcp_* logins.

set local search_path = 'declared_public', 'declared_migration', 'declared_app', 'pg_catalog';

do $$
declare
    name text;
begin
    foreach name in array array[
        'sessions', 'tasks', 'task_steps', 'tool_executions', 'logs', 'chat_history',
        'agent_messages', 'recovery_attempts', 'conversation_summaries',
        'behavioral_deviations', 'discoveries', 'kg_nodes', 'kg_edges', 'knowledge_promotions',
        'files', 'run', 'other_rows', 'quarantine', 'quarantine_piece'
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
using ((select every_session from context()) or id = (select session_uuid from context()));

create policy bound_session on tasks as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session_uuid from context()));

create policy bound_session on agent_messages as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session_uuid from context()));

create policy bound_session on behavioral_deviations as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session_uuid from context()));

-- Tables that hold it as text: a UUID, or the literal current_session.
create policy bound_session on logs as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session from context()));

create policy bound_session on chat_history as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session from context()));

create policy bound_session on conversation_summaries as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()) or session_id = (select session from context()));

-- Tables that know it by their task or step.
create policy bound_session on task_steps as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
    or exists (
        select from tasks
        where tasks.id = task_steps.task_id
    )
);

create policy bound_session on tool_executions as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
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
    (select every_session from context())
    or exists (
        select from task_steps
        where task_steps.id = recovery_attempts.step_id
    )
);

create policy bound_session on discoveries as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
    or exists (
        select from tasks
        where tasks.id = discoveries.task_id
    )
);

-- The knowledge graph: what a task learned is its session's, what belongs to no task is everybody's.
create policy bound_session on kg_nodes as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
    or (kg_nodes.task_id is null and (select agent from context()) is not null)
    or exists (
        select from tasks
        where tasks.id = kg_nodes.task_id
    )
);

create policy bound_session on kg_edges as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
    or (
        exists (
            select from kg_nodes
            where kg_nodes.id = kg_edges.source_id
        )
        and exists (
            select from kg_nodes
            where kg_nodes.id = kg_edges.target_id
        )
    )
);

create policy bound_session on knowledge_promotions as restrictive
to mcp_read, mcp_write, mcp_heal
using (
    (select every_session from context())
    or exists (
        select from kg_nodes
        where kg_nodes.id = knowledge_promotions.node_id
    )
);

-- The workspace has one set of files: every agent's, but nobody's who is no agent.
create policy bound_session on files as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select agent from context()) is not null);

-- Rows that a migration could not load are of any session: for those who see every one.
create policy bound_session on run as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()));

create policy bound_session on other_rows as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()));

create policy bound_session on quarantine as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()));

create policy bound_session on quarantine_piece as restrictive
to mcp_read, mcp_write, mcp_heal
using ((select every_session from context()));

set local search_path = 'pg_catalog';
