-- Who may do what: the whole matrix, one row per right.
--
-- What is not here, is not granted: neither to these roles nor to PUBLIC. The owner needs no row
-- for its own objects. The rights on tables and sequences of public are default privileges of
-- atlas_owner too, so that a table that a migration creates tomorrow has them from the start;
-- and every table that turns up in public (dataset_*) is handed to atlas_owner at the next load.

create table declared.privilege (
    kind text not null,
    schema text,
    -- NULL: every object of the kind in the schema.
    name text,
    role text not null,
    rights text[] not null
);

insert into declared.privilege (kind, schema, name, role, rights) values
('database', null, null, 'atlas', '{CONNECT}'),
-- A migration compares the tables with the declaration in scratch schemas that it rolls back, and
-- makes the schema that --schema names. It does both as the login, not as the owner: mcp_heal
-- inherits what the owner may.
('database', null, null, 'migrator', '{CONNECT,CREATE}'),
('database', null, null, 'mcp_read', '{CONNECT}'),
('database', null, null, 'mcp_write', '{CONNECT}'),
('database', null, null, 'mcp_heal', '{CONNECT}'),
('database', null, null, 'mcp_audit', '{CONNECT}'),
-- A migration may sort and stage in temporary tables, once it has become the owner.
('database', null, null, 'atlas_owner', '{TEMPORARY}'),

('schema', 'public', null, 'atlas_owner', '{USAGE,CREATE}'),
('schema', 'public', null, 'atlas', '{USAGE}'),
('schema', 'public', null, 'mcp_read', '{USAGE}'),
('schema', 'public', null, 'mcp_write', '{USAGE}'),
('schema', 'public', null, 'mcp_heal', '{USAGE}'),
('table', 'public', null, 'atlas', '{SELECT,INSERT,UPDATE,DELETE}'),
('table', 'public', null, 'mcp_read', '{SELECT}'),
('table', 'public', null, 'mcp_write', '{SELECT,INSERT,UPDATE,DELETE}'),
-- mcp_heal has no rights on rows of its own; it inherits the owner's (10_roles.sql).
('sequence', 'public', null, 'atlas', '{USAGE,SELECT}'),
-- The only way by which the platform gets a table (55_platform_tables.sql).
('function', 'public', 'public.create_platform_table(text,jsonb,jsonb)', 'atlas', '{EXECUTE}'),

('schema', 'app', null, 'mcp_read', '{USAGE}'),
('schema', 'app', null, 'mcp_write', '{USAGE}'),
('schema', 'app', null, 'mcp_heal', '{USAGE}'),
('function', 'app', null, 'mcp_read', '{EXECUTE}'),
('function', 'app', null, 'mcp_write', '{EXECUTE}'),
('function', 'app', null, 'mcp_heal', '{EXECUTE}'),
-- For app.set_context(), which lowers it to what the agent may take. Needs a superuser to be granted.
('parameter', null, 'temp_file_limit', 'atlas_guard', '{SET}'),
-- For `migration follow`: rows come by tables, not in the order of their references, and what cascaded
-- in the source shall not cascade once more. The login alone, not the owner, whose rights mcp_heal inherits.
-- Needs a superuser to be granted.
('parameter', null, 'session_replication_role', 'migrator', '{SET}'),

-- Records of calls are made by a login of their own, which no agent's SQL runs as. It reads them too, so
-- that the server can look a call up, undo it, and verify the chain.
('schema', 'audit', null, 'mcp_audit', '{USAGE}'),
('table', 'audit', 'call', 'mcp_audit', '{SELECT}'),
('table', 'audit', 'written', 'mcp_audit', '{SELECT}'),
('table', 'audit', 'row_image', 'mcp_audit', '{SELECT}'),
('function', 'audit', 'audit.append(jsonb)', 'mcp_audit', '{EXECUTE}'),
('function', 'audit', 'audit.status(uuid)', 'mcp_audit', '{EXECUTE}'),
-- These take nothing but what the MCP server sealed for the very transaction.
('schema', 'audit', null, 'mcp_write', '{USAGE}'),
('schema', 'audit', null, 'mcp_heal', '{USAGE}'),
('function', 'audit', 'audit.begin_write(text)', 'mcp_write', '{EXECUTE}'),
('function', 'audit', 'audit.begin_write(text)', 'mcp_heal', '{EXECUTE}'),
('function', 'audit', 'audit.end_write(jsonb)', 'mcp_write', '{EXECUTE}'),
('function', 'audit', 'audit.end_write(jsonb)', 'mcp_heal', '{EXECUTE}'),
-- Attempts at healing are recorded as calls are, and one heals at a time.
('schema', 'ops', null, 'mcp_audit', '{USAGE}'),
('table', 'ops', 'healing_attempt', 'mcp_audit', '{SELECT}'),
('table', 'ops', 'built_index', 'mcp_audit', '{SELECT}'),
('function', 'ops', 'ops.begin_attempt(jsonb)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.end_attempt(uuid,jsonb)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.begin_index(jsonb)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.end_index(uuid,text)', 'mcp_audit', '{EXECUTE}'),
-- Whoever runs the server may stop healing, and let it go on.
('table', 'ops', 'healing_pause', 'mcp_audit', '{SELECT}'),
('function', 'ops', 'ops.healing_paused()', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.pause_healing(text,text)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.resume_healing(text)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.seconds_until_attempt(text,integer)', 'mcp_audit', '{EXECUTE}'),
('function', 'ops', 'ops.lock_watching()', 'mcp_audit', '{EXECUTE}'),
('schema', 'ops', null, 'mcp_heal', '{USAGE}'),
('function', 'ops', 'ops.lock_healing()', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.lock_healing_session()', 'mcp_heal', '{EXECUTE}'),
-- Orphans go into quarantine, and come back (84_quarantine.sql, 86_orphans.sql): with the caller's own rights. mcp_heal has those of
-- the owner, and migrator takes them on.
('schema', 'ops', null, 'atlas_owner', '{USAGE}'),
('function', 'ops', 'ops.cell(text)', 'atlas_owner', '{EXECUTE}'),
('function', 'ops', 'ops.keep_pieces(bigint,text[])', 'atlas_owner', '{EXECUTE}'),
('function', 'ops', 'ops.loaded_values(bigint)', 'atlas_owner', '{EXECUTE}'),
('function', 'ops', 'ops.replay(bigint,jsonb)', 'atlas_owner', '{EXECUTE}'),
('function', 'ops', 'ops.replay_fitting(text,text,text,bigint)', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.quarantine_orphans(oid,jsonb,bigint)', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.key_columns(regclass,smallint[])', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.refuse_referred(regclass,regclass,tid[],jsonb)', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.keep_orphans(regclass,tid[],text,text)', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.orphan_condition(text[],regclass,text[])', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.orphan_condition(text[],regclass,text[])', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.orphans(regclass,text[],regclass,text[],bigint)', 'mcp_read', '{EXECUTE}'),
-- What it fixes is judged by what checks/ asserts, with the eyes of atlas_guard, who has to name the tables.
('function', 'ops', 'ops.assertions()', 'mcp_heal', '{EXECUTE}'),
('schema', 'public', null, 'atlas_guard', '{USAGE}'),
('schema', 'migration', null, 'atlas_guard', '{USAGE}'),
-- For the health check, which shows agents ages and counts of what they may not see itself (89_health.sql).
('schema', 'ops', null, 'mcp_read', '{USAGE}'),
('function', 'ops', 'ops.sessions()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.prepared_transactions()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.sequence_use()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.replicas()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.slow_statements()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.built_indexes()', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.suppose_index(text)', 'mcp_read', '{EXECUTE}'),
('function', 'ops', 'ops.suppose_nothing()', 'mcp_read', '{EXECUTE}'),
-- To find the table of an index that is supposed.
('schema', 'public', null, 'atlas_guard', '{USAGE}'),
-- Healing looks again, on its own connection, before it drops an index.
('function', 'ops', 'ops.built_indexes()', 'mcp_heal', '{EXECUTE}'),
('function', 'ops', 'ops.replicas()', 'mcp_heal', '{EXECUTE}'),
('sequence', 'public', null, 'atlas_guard', '{SELECT}'),
-- Whoever creates a table puts the trigger on it (event trigger audit_follows).
('schema', 'audit', null, 'atlas_owner', '{USAGE}'),
('function', 'audit', 'audit.image()', 'atlas_owner', '{EXECUTE}'),
('schema', 'app', null, 'atlas_owner', '{USAGE}'),
('function', 'app', 'app.no_truncate()', 'atlas_owner', '{EXECUTE}'),

-- Agents may look at what a migration could not load; nobody but the migration writes there.
('schema', 'migration', null, 'mcp_read', '{USAGE}'),
('table', 'migration', 'run', 'mcp_read', '{SELECT}'),
('table', 'migration', 'quarantine', 'mcp_read', '{SELECT}'),
('table', 'migration', 'quarantine_piece', 'mcp_read', '{SELECT}');
