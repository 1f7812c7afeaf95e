-- Who there is: roles, what they may ask of the server, and who may become whom.
--
-- Why one login per agent capability: an agent's SQL can do whatever its login can, whatever the
-- gate in front believes. Reading, writing and healing are different logins on different
-- connections, none a member of another, so no statement climbs from one to the next.
-- Why an owner that cannot log in: nobody owns tables while they work with rows.
-- Why a second one, atlas_guard: it owns what decides about the others (schema app: the key that
-- contexts are signed with, and the functions that policies ask). No login is a member of it, so
-- whoever has the rights of atlas_owner can neither read the key nor replace the functions.
-- Why a login for the audit alone: what an agent's SQL can call, it can call with whatever it likes. Records
-- of calls are written on a connection that no agent's SQL ever runs on.
-- Why a group for functions, atlas_functions: EXECUTE on those that act is taken from PUBLIC and given
-- to it (80_acting_functions.sql). A login of the site that needs them is made a member.

create table declared.role (
    name text primary key,
    login boolean not null,
    -- Together below PostgreSQL's default of 100, so that an administrator always gets in.
    connection_limit integer not null
);

insert into declared.role (name, login, connection_limit) values
('atlas_owner', false, -1),
('atlas_guard', false, -1),
('atlas_functions', false, -1),
('atlas', true, 50),
('migrator', true, 8),
('mcp_read', true, 20),
('mcp_write', true, 10),
('mcp_heal', true, 4),
('mcp_audit', true, 5);

-- migrator: works as the owner after SET ROLE, and only then.
-- mcp_heal: ALTER TABLE, CREATE INDEX and DROP INDEX need ownership, which is had by inheritance
-- alone. Consequences: it can also drop, lock and rewrite what the owner owns, and switch off
-- row-level security; so the gate admits three kinds of statement on this login, and this login
-- is used for nothing else. SET false: it never *becomes* the owner, so what it creates is its
-- own until the next run of load.sql hands it over, and policies still see who it is.
create table declared.membership (
    role text not null,
    member text not null,
    inherits boolean not null,
    may_set boolean not null,
    primary key (role, member)
);

insert into declared.membership (role, member, inherits, may_set) values
('atlas_functions', 'atlas', true, false),
('atlas_functions', 'migrator', true, false),
('atlas_functions', 'atlas_guard', true, false),
('atlas_owner', 'migrator', false, true),
('atlas_owner', 'mcp_heal', true, false);

-- What the health check says of other sessions (89_health.sql). An administrator who may not give this role away
-- leaves it as it is.
insert into declared.membership (role, member, inherits, may_set)
select
    'pg_read_all_stats',
    'atlas_guard',
    true,
    false
where
    pg_has_role('pg_read_all_stats', 'usage with admin option')
    or exists (
        select from pg_auth_members as m
        where m.roleid = 'pg_read_all_stats'::regrole and m.member::regrole::text = 'atlas_guard'
    );

-- Settings that every session of a role begins with. A session can change most of them again:
-- they are habits, not walls. temp_file_limit is a wall, and needs a superuser to be set; where
-- the administrator is none it is left out.
create table declared.role_setting (
    role text not null,
    name text not null,
    value text not null,
    primary key (role, name)
);

insert into declared.role_setting (role, name, value)
select
    role.name as role,
    setting.name,
    setting.value
from declared.role
cross join (
    values
    -- Timestamps are stored without a zone and mean UTC: a session elsewhere would shift them.
    ('timezone', 'UTC'),
    -- pg_temp last: else a temporary table is found before the real one of its name.
    ('search_path', 'public, pg_temp')
) as setting (name, value)
where role.login;

insert into declared.role_setting (role, name, value) values
-- The platform makes engines that it never disposes of (8 starts left 7 idle backends); it
-- tests a connection before it uses it, so ending idle ones is safe.
('atlas', 'idle_session_timeout', '10min'),
('atlas', 'idle_in_transaction_session_timeout', '5min'),
('atlas', 'statement_timeout', '5min'),
('atlas', 'lock_timeout', '30s'),
-- A load may take hours in one statement; a forgotten session shall still end.
('migrator', 'idle_in_transaction_session_timeout', '1h'),
('migrator', 'lock_timeout', '1min'),
('mcp_read', 'default_transaction_read_only', 'on'),
('mcp_read', 'statement_timeout', '30s'),
('mcp_read', 'lock_timeout', '5s'),
('mcp_read', 'idle_in_transaction_session_timeout', '1min'),
('mcp_read', 'idle_session_timeout', '10min'),
('mcp_read', 'temp_file_limit', '1GB'),
('mcp_write', 'statement_timeout', '30s'),
('mcp_write', 'lock_timeout', '5s'),
('mcp_write', 'idle_in_transaction_session_timeout', '1min'),
('mcp_write', 'idle_session_timeout', '10min'),
('mcp_write', 'temp_file_limit', '1GB'),
-- Longer, for CREATE INDEX CONCURRENTLY on a large table.
('mcp_heal', 'statement_timeout', '15min'),
('mcp_heal', 'lock_timeout', '5s'),
('mcp_heal', 'idle_in_transaction_session_timeout', '1min'),
('mcp_heal', 'idle_session_timeout', '10min'),
('mcp_heal', 'temp_file_limit', '4GB'),
-- A record is flushed within a second, and by the commit of the write that it announces at the latest:
-- the log is one sequence. So a write that survives a crash has its record, and a read waits for no disk.
('mcp_audit', 'synchronous_commit', 'off'),
('mcp_audit', 'statement_timeout', '30s'),
('mcp_audit', 'lock_timeout', '5s'),
('mcp_audit', 'idle_in_transaction_session_timeout', '1min'),
('mcp_audit', 'idle_session_timeout', '10min'),
('mcp_audit', 'temp_file_limit', '1GB');

-- Long texts are compressed sooner than by pglz, and about as well, where the server was built with it.
insert into declared.role_setting (role, name, value)
select
    role.name,
    'default_toast_compression',
    'lz4'
from (values ('atlas'), ('migrator')) as role (name)
where exists (
    select from pg_settings
    where pg_settings.name = 'default_toast_compression' and 'lz4' = any(pg_settings.enumvals)
);
