-- Rows for benchmarks/policies.py: per session 20 tasks of 10 steps with a tool call each, 1000 logs.
-- The first session and its first task have the ids that the queries name.

insert into sessions (id, started_at, metadata_blob)
select
    ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
    now(),
    '{}'
from generate_series(1, 50) as n;

insert into tasks (id, session_id, goal, status, golden_path, created_at, metadata_blob)
select
    ('10000000-0000-4000-8000-' || lpad((row_number() over ())::text, 12, '0'))::uuid,
    sessions.id,
    'goal ' || n,
    'COMPLETED',
    false,
    now(),
    '{}'
from sessions
cross join generate_series(1, 20) as n;

insert into task_steps
(id, task_id, sequence_number, action, tool, status, duration_ms, created_at)
select
    gen_random_uuid(),
    tasks.id,
    n::text,
    'action',
    'tool',
    'SUCCESS',
    n,
    now()
from tasks
cross join generate_series(1, 10) as n;

insert into tool_executions
(id, step_id, task_id, server_name, tool_name, arguments, status, created_at)
select
    gen_random_uuid(),
    id,
    task_id,
    'server',
    'tool' || sequence_number,
    '{}',
    case when sequence_number = '7' then 'FAILED' else 'SUCCESS' end,
    now()
from task_steps;

insert into logs (session_id, timestamp, level, source, message)
select
    sessions.id::text,
    now() + n * interval '1 second',
    'INFO',
    'atlas',
    'message ' || n
from sessions
cross join generate_series(1, 1000) as n;

insert into kg_nodes (id, type, namespace, task_id, attributes, last_updated)
select
    'node:' || row_number() over (),
    'FACT',
    'task',
    id,
    '{}',
    now()
from tasks;

insert into kg_edges (source_id, target_id, relation, namespace, created_at)
select
    'node:' || n,
    'node:' || n + step,
    'LEADS_TO',
    'task',
    now()
from generate_series(1, 900) as n
cross join generate_series(1, 5) as step;
