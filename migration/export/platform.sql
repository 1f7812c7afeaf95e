-- AtlasTrinity's schema of February 2026, as its ORM writes it into SQLite: byte for byte, tabs and
-- trailing spaces included, since sqlite_master keeps the text. Dialect: SQLite.

CREATE TABLE sessions (
	id CHAR(36) NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	metadata_blob JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE logs (
	id INTEGER NOT NULL, 
	session_id VARCHAR(100), 
	timestamp DATETIME NOT NULL, 
	level VARCHAR(20) NOT NULL, 
	source VARCHAR(50) NOT NULL, 
	message TEXT NOT NULL, 
	metadata_blob JSON, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_logs_session_id ON logs (session_id);
CREATE TABLE chat_history (
	id INTEGER NOT NULL, 
	session_id VARCHAR(100) NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	content TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	metadata_blob JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_chat_history_session_id ON chat_history (session_id);
CREATE TABLE conversation_summaries (
	id INTEGER NOT NULL, 
	session_id VARCHAR(100) NOT NULL, 
	summary TEXT NOT NULL, 
	key_entities JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	metadata_blob JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_conversation_summaries_session_id ON conversation_summaries (session_id);
CREATE TABLE files (
	id INTEGER NOT NULL, 
	path VARCHAR(500) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	size INTEGER NOT NULL, 
	mtime FLOAT NOT NULL, 
	is_dir BOOLEAN NOT NULL, 
	content_hash VARCHAR(64), 
	last_scanned DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_files_path ON files (path);
CREATE TABLE tasks (
	id CHAR(36) NOT NULL, 
	session_id CHAR(36) NOT NULL, 
	goal TEXT NOT NULL, 
	status VARCHAR(50) NOT NULL, 
	golden_path BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	completed_at DATETIME, 
	metadata_blob JSON NOT NULL, 
	parent_task_id CHAR(36), 
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES sessions (id), 
	FOREIGN KEY(parent_task_id) REFERENCES tasks (id)
);
CREATE TABLE agent_messages (
	id CHAR(36) NOT NULL, 
	session_id CHAR(36) NOT NULL, 
	from_agent VARCHAR(20) NOT NULL, 
	to_agent VARCHAR(20) NOT NULL, 
	message_type VARCHAR(50) NOT NULL, 
	step_id VARCHAR(50), 
	payload JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	read_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES sessions (id)
);
CREATE TABLE task_steps (
	id CHAR(36) NOT NULL, 
	task_id CHAR(36) NOT NULL, 
	sequence_number VARCHAR(50) NOT NULL, 
	action TEXT NOT NULL, 
	tool VARCHAR(100) NOT NULL, 
	status VARCHAR(50) NOT NULL, 
	error_message TEXT, 
	duration_ms INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE TABLE kg_nodes (
	id TEXT NOT NULL, 
	type VARCHAR(50) NOT NULL, 
	namespace VARCHAR(100) NOT NULL, 
	task_id CHAR(36), 
	attributes JSON NOT NULL, 
	last_updated DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE INDEX ix_kg_nodes_namespace ON kg_nodes (namespace);
CREATE TABLE discoveries (
	id INTEGER NOT NULL, 
	task_id CHAR(36) NOT NULL, 
	step_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(100) NOT NULL, 
	value TEXT NOT NULL, 
	category VARCHAR(50) NOT NULL, 
	step_action TEXT, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE INDEX ix_discoveries_task_id ON discoveries (task_id);
CREATE INDEX ix_discoveries_step_id ON discoveries (step_id);
CREATE TABLE tool_executions (
	id CHAR(36) NOT NULL, 
	step_id CHAR(36) NOT NULL, 
	task_id CHAR(36), 
	server_name VARCHAR(100) NOT NULL, 
	tool_name VARCHAR(100) NOT NULL, 
	arguments JSON NOT NULL, 
	result TEXT, 
	status VARCHAR(50) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(step_id) REFERENCES task_steps (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE TABLE kg_edges (
	id INTEGER NOT NULL, 
	source_id TEXT NOT NULL, 
	target_id TEXT NOT NULL, 
	relation VARCHAR(50) NOT NULL, 
	namespace VARCHAR(100) NOT NULL, 
	attributes JSON, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(source_id) REFERENCES kg_nodes (id), 
	FOREIGN KEY(target_id) REFERENCES kg_nodes (id)
);
CREATE INDEX ix_kg_edges_namespace ON kg_edges (namespace);
CREATE TABLE recovery_attempts (
	id INTEGER NOT NULL, 
	step_id CHAR(36) NOT NULL, 
	depth INTEGER NOT NULL, 
	recovery_method VARCHAR(50) NOT NULL, 
	success BOOLEAN NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	vibe_text TEXT, 
	error_before TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(step_id) REFERENCES task_steps (id)
);
CREATE TABLE behavioral_deviations (
	id CHAR(36) NOT NULL, 
	session_id CHAR(36) NOT NULL, 
	step_id CHAR(36), 
	original_intent TEXT NOT NULL, 
	deviation TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	result TEXT NOT NULL, 
	decision_factors JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES sessions (id), 
	FOREIGN KEY(step_id) REFERENCES task_steps (id)
);
CREATE TABLE knowledge_promotions (
	id INTEGER NOT NULL, 
	node_id TEXT NOT NULL, 
	old_namespace VARCHAR(100) NOT NULL, 
	target_namespace VARCHAR(100) NOT NULL, 
	promoted_by VARCHAR(50) NOT NULL, 
	reason TEXT, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(node_id) REFERENCES kg_nodes (id)
);
