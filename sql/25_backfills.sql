-- What existing rows get when a column that must not be NULL is added to their table.
--
-- Why: PostgreSQL refuses such a column without a value for the rows that are there. The values
-- are the platform's own client-side defaults, the same that its next INSERT would write; the
-- default is dropped again at once. A column that is not listed here (an id, a foreign key, a
-- text that only its author knows) cannot be invented: where rows exist, the load stops and the
-- column has to come from a backup.

create table declared.backfill (
    table_name text not null,
    column_name text not null,
    expression text not null,
    primary key (table_name, column_name)
);

insert into declared.backfill (table_name, column_name, expression) values
('sessions', 'started_at', '(now() at time zone ''UTC'')'),
('sessions', 'metadata_blob', '''{}'''),
('tasks', 'status', '''PENDING'''),
('tasks', 'golden_path', 'false'),
('tasks', 'created_at', '(now() at time zone ''UTC'')'),
('tasks', 'metadata_blob', '''{}'''),
('task_steps', 'duration_ms', '0'),
('task_steps', 'created_at', '(now() at time zone ''UTC'')'),
('tool_executions', 'status', '''SUCCESS'''),
('tool_executions', 'created_at', '(now() at time zone ''UTC'')'),
('logs', 'timestamp', '(now() at time zone ''UTC'')'),
('chat_history', 'created_at', '(now() at time zone ''UTC'')'),
('chat_history', 'metadata_blob', '''{}'''),
('kg_nodes', 'namespace', '''global'''),
('kg_nodes', 'attributes', '''{}'''),
('kg_nodes', 'last_updated', '(now() at time zone ''UTC'')'),
('kg_edges', 'namespace', '''global'''),
('kg_edges', 'created_at', '(now() at time zone ''UTC'')'),
('agent_messages', 'created_at', '(now() at time zone ''UTC'')'),
('recovery_attempts', 'duration_ms', '0'),
('recovery_attempts', 'created_at', '(now() at time zone ''UTC'')'),
('conversation_summaries', 'key_entities', '''[]'''),
('conversation_summaries', 'created_at', '(now() at time zone ''UTC'')'),
('conversation_summaries', 'metadata_blob', '''{}'''),
('behavioral_deviations', 'decision_factors', '''{}'''),
('behavioral_deviations', 'created_at', '(now() at time zone ''UTC'')'),
('knowledge_promotions', 'target_namespace', '''global'''),
('knowledge_promotions', 'created_at', '(now() at time zone ''UTC'')'),
('discoveries', 'created_at', '(now() at time zone ''UTC'')'),
('files', 'size', '0'),
('files', 'mtime', '0'),
('files', 'is_dir', 'false'),
('files', 'last_scanned', '(now() at time zone ''UTC'')');
