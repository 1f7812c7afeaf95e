-- Foreign keys, as the platform's models have them: no action on DELETE.
--
-- Apart from the tables, since a migration loads without them and adds them afterwards, and
-- since tasks refers to itself. SQLite never enforced them: orphans are the migration's concern.

set local search_path = 'declared_public';

alter table tasks add constraint tasks_session_id_fkey
foreign key (session_id) references sessions (id);
alter table tasks add constraint tasks_parent_task_id_fkey
foreign key (parent_task_id) references tasks (id);
alter table task_steps add constraint task_steps_task_id_fkey
foreign key (task_id) references tasks (id);
alter table tool_executions add constraint tool_executions_step_id_fkey
foreign key (step_id) references task_steps (id);
alter table tool_executions add constraint tool_executions_task_id_fkey
foreign key (task_id) references tasks (id);
alter table kg_nodes add constraint kg_nodes_task_id_fkey
foreign key (task_id) references tasks (id);
alter table kg_edges add constraint kg_edges_source_id_fkey
foreign key (source_id) references kg_nodes (id);
alter table kg_edges add constraint kg_edges_target_id_fkey
foreign key (target_id) references kg_nodes (id);
alter table agent_messages add constraint agent_messages_session_id_fkey
foreign key (session_id) references sessions (id);
alter table recovery_attempts add constraint recovery_attempts_step_id_fkey
foreign key (step_id) references task_steps (id);
alter table behavioral_deviations add constraint behavioral_deviations_session_id_fkey
foreign key (session_id) references sessions (id);
alter table behavioral_deviations add constraint behavioral_deviations_step_id_fkey
foreign key (step_id) references task_steps (id);
alter table knowledge_promotions add constraint knowledge_promotions_node_id_fkey
foreign key (node_id) references kg_nodes (id);
alter table discoveries add constraint discoveries_task_id_fkey
foreign key (task_id) references tasks (id);

set local search_path = 'declared_migration';

alter table other_rows add constraint other_rows_run_id_fkey
foreign key (run_id) references run (id);
alter table follow add constraint follow_run_id_fkey
foreign key (run_id) references run (id);
alter table cutover add constraint cutover_run_id_fkey
foreign key (run_id) references run (id);
alter table quarantine add constraint quarantine_run_id_fkey
foreign key (run_id) references run (id);
alter table quarantine_piece add constraint quarantine_piece_quarantine_id_fkey
foreign key (quarantine_id) references quarantine (id) on delete cascade;

set local search_path = 'pg_catalog';
