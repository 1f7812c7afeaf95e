-- What the attack list names beside the platform's own tables, for the schema of sql/.
--
-- users, secrets, agent_memory and mcp_internal are another's: no agent has a right to them. The word
-- "forbidden" stands in every row that session a must not see.

update tasks set goal = 'forbidden' where goal = 'b';
update logs set message = 'forbidden' where message = 'b';
update chat_history set content = 'forbidden' where content = 'b';
update kg_nodes set attributes = '{"what": "forbidden"}' where id like 'task:b%';
analyze;

create table public.users (id bigint, email text, password text, is_admin boolean);
insert into public.users values (1, 'alice@x', 'hunter2', false);
create table public.secrets (id bigint, password text);
insert into public.secrets values (1, 'hunter2');
create table public.agent_memory (id bigint, agent_id text, content text);
insert into public.agent_memory values (1, 'b', 'forbidden');
revoke all on public.users, public.secrets, public.agent_memory
from mcp_read, mcp_write, mcp_heal, atlas;

create schema mcp_internal;
create table mcp_internal.audit_log (id bigint, sql text);
insert into mcp_internal.audit_log values (1, 'forbidden');
create table mcp_internal.tokens (token_hash text, role text);
