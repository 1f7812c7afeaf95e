-- Indexes, each for a read that happens. Those of primary keys and UNIQUE are in 20_tables.sql.
--
-- A foreign key's columns come first in one index at least: else every DELETE of a parent scans
-- its children. Named ix_<table>_<columns>; CREATE INDEX in the simplest form, since a migration
-- drops the indexes and recreates them from their printed definition.

set local search_path = 'declared_public';

-- The latest session; its tasks; the tasks of a day.
create index ix_sessions_started_at on sessions (started_at);
create index ix_tasks_session_id_created_at on tasks (session_id, created_at);
create index ix_tasks_parent_task_id on tasks (parent_task_id);
create index ix_tasks_created_at on tasks (created_at);

-- The steps of a task; a step by its place in the plan, joined to its newest tool calls.
create index ix_task_steps_task_id_sequence_number on task_steps (task_id, sequence_number);
create index ix_task_steps_created_at on task_steps (created_at);
create index ix_tool_executions_step_id_created_at on tool_executions (step_id, created_at);
create index ix_tool_executions_task_id_created_at on tool_executions (task_id, created_at);
create index ix_tool_executions_created_at on tool_executions (created_at);
-- Failure rate and 95th percentile of one tool.
create index ix_tool_executions_tool_name_created_at on tool_executions (tool_name, created_at);
create index ix_recovery_attempts_step_id on recovery_attempts (step_id);
create index ix_recovery_attempts_created_at on recovery_attempts (created_at);

-- A session's log and conversation in order; the last errors and warnings.
create index ix_logs_session_id_timestamp on logs (session_id, timestamp);
create index ix_logs_level_timestamp on logs (level, timestamp);
create index ix_logs_timestamp on logs (timestamp);
create index ix_chat_history_session_id_created_at on chat_history (session_id, created_at);
create index ix_conversation_summaries_session_id on conversation_summaries (session_id);
create index ix_conversation_summaries_created_at on conversation_summaries (created_at);

-- The graph by namespace, and the neighbours of a node: source_id = x OR target_id = x.
create index ix_kg_nodes_namespace on kg_nodes (namespace);
create index ix_kg_nodes_task_id on kg_nodes (task_id);
create index ix_kg_edges_namespace on kg_edges (namespace);
create index ix_kg_edges_source_id on kg_edges (source_id);
create index ix_kg_edges_target_id on kg_edges (target_id);
create index ix_knowledge_promotions_node_id on knowledge_promotions (node_id);

create index ix_agent_messages_session_id_created_at on agent_messages (session_id, created_at);
create index ix_behavioral_deviations_session_id on behavioral_deviations (session_id);
create index ix_behavioral_deviations_step_id on behavioral_deviations (step_id);
create index ix_behavioral_deviations_created_at on behavioral_deviations (created_at);
create index ix_discoveries_task_id on discoveries (task_id);
create index ix_discoveries_step_id on discoveries (step_id);

-- Documents that are searched by content (@>). jsonb_path_ops: a third of the size of the default,
-- and containment is what is asked. Documents that are only ever read whole have none.
create index ix_tool_executions_arguments on tool_executions using gin (arguments jsonb_path_ops);
create index ix_kg_nodes_attributes on kg_nodes using gin (attributes jsonb_path_ops);
create index ix_kg_edges_attributes on kg_edges using gin (attributes jsonb_path_ops);
create index ix_tasks_metadata_blob on tasks using gin (metadata_blob jsonb_path_ops);
create index ix_agent_messages_payload on agent_messages using gin (payload jsonb_path_ops);

set local search_path = 'declared_migration';

create index ix_quarantine_run_id_table_name on quarantine (run_id, table_name);

set local search_path = 'declared_audit';

-- What happened since a time, by whom.
create index ix_call_at on call (at);

set local search_path = 'declared_ops';

-- Whether the same thing was tried before.
create index ix_healing_attempt_fingerprint on healing_attempt (fingerprint, finished_at);

set local search_path = 'pg_catalog';
