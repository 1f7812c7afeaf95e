-- Who an agent's transaction acts for, and what it may see: for the policies of 60_policies.sql.
--
-- Why a signed context: a setting alone is no identity, since whoever writes SQL can write settings,
-- by more routes than anybody can list (SET, set_config, UPDATE pg_settings, ALTER ROLE, options of
-- the connection). So the setting app.context carries a seal that SQL cannot make: the HMAC-SHA-256
-- of what it says, under a key that no login can read. It says for which transaction of which backend
-- it is meant. So it is no secret: seen in a log, in pg_stat_activity or in another agent's answer,
-- it is worth nothing in any other transaction, not even the next one on the same connection.
--
-- The MCP server asks for the transaction's mark after BEGIN (mcp_server/sql/transaction_mark.sql),
-- seals `{"agent": …, "session": …, "transaction": mark, …}` and hands it in by app.set_context(). Whatever is
-- missing, malformed, or sealed for another transaction gives a context of NULLs, and with it no rows.
--
-- What an agent sees and may take is said in the server's agents file, so it is sealed as well:
--   sessions      "bound": it sees no session but the one that it is bound to; "every", or missing: all
--   temporary_kb  the temporary files that the transaction may write, per process
-- app.agent can only narrow what the seal says of sessions: so there are no two truths to keep alike.
--
-- Functions that former versions had are named at the end, and go. One that calls another comes after
-- it in the alphabet too: in that order they are made.
--
-- The path is pinned, so that no object of the caller's can take a name's place.

set local search_path = 'declared_app', 'pg_catalog';

-- One row, always: the verified context, or NULLs.
--   agent          whom the MCP server speaks for
--   session        the platform's session that the transaction is bound to; NULL: to none
--   session_uuid   the same; NULL where it is no UUID ("current_session"), which no uuid equals
--   every_session  whether rows of all sessions are seen: bound to none, and neither the seal nor app.agent
--                  says that it sees the bound one only
--
-- SECURITY DEFINER, to read the key. Parallel restricted, since a worker has another process id: the
-- leader evaluates it, once for each policy of a statement, and hands the value to its workers.
-- PL/pgSQL, since it keeps its plans: an SQL function that is not inlined is planned at each call, which
-- costs ten times as much, and a join calls this several times.
create function context(
    out agent text, out session text, out session_uuid uuid, out every_session boolean
) returns record
language plpgsql stable security definer parallel restricted
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    sealed constant text := coalesce(current_setting('app.context', true), '');
    -- Hashes of the seals are compared, so that the time it takes tells nothing of them.
    is_genuine constant boolean := (
        select
            sha256(convert_to(left(sealed, 64), 'UTF8'))
            = sha256(convert_to(encode(sha256(
                key.outer_block || sha256(key.inner_block || convert_to(substr(sealed, 65), 'UTF8'))
            ), 'hex'), 'UTF8'))
        from app.context_key as key
    );
    said jsonb;
begin
    -- Nothing of an unsealed text is looked into. NULL, where there is no key, is not genuine either.
    if is_genuine is not true then
        return;
    end if;
    said := substr(sealed, 65)::jsonb;
    if said ->> 'transaction' is distinct from
        pg_backend_pid() || '/' || (extract(epoch from transaction_timestamp()) * 1000000)::bigint
    then
        return;
    end if;
    agent := said ->> 'agent';
    session := nullif(said ->> 'session', '');
    if pg_input_is_valid(session, 'uuid') then
        session_uuid := session::uuid;
        -- In its usual form, since the platform writes it so into text columns.
        session := session_uuid::text;
    end if;
    every_session := session is null and coalesce(said ->> 'sessions', 'every') = 'every' and coalesce(
        (select rule.sessions from app.agent as rule where rule.name = context.agent),
        (select rule.sessions from app.agent as rule where rule.name = '*'),
        'every'
    ) = 'every';
end
$$;

-- Hands a sealed context in for the rest of the transaction; whether it is accepted. Agents may
-- call it too: it takes nothing that the MCP server did not seal for this very transaction.
--
-- temp_file_limit is a superuser's setting, so no agent raises again what is lowered here: atlas_guard
-- alone was granted it (70_privileges.sql). RESET ALL gives back the login's own limit, for which nobody
-- is asked, and takes the context away with it. Where atlas_guard lacks the right, since the administrator
-- is no superuser, the login's own limit stays.
create function set_context(sealed text) returns boolean
language plpgsql volatile security definer parallel unsafe
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    present bigint;
    wanted bigint;
begin
    perform set_config('app.context', sealed, true);
    if (select agent is null from app.context()) then
        return false;
    end if;
    wanted := substr(sealed, 65)::jsonb ->> 'temporary_kb';
    if wanted is not null and has_parameter_privilege('temp_file_limit', 'SET') then
        -- Kilobytes; -1 where there is no limit.
        present := (select setting from pg_settings where name = 'temp_file_limit');
        if present = -1 or wanted < present then
            perform set_config('temp_file_limit', wanted::text, true);
        end if;
    end if;
    return true;
end
$$;

set local search_path = 'pg_catalog';

create table declared.former_function (signature text primary key);

insert into declared.former_function (signature) values
-- They read the setting as it was, and so could be told anything.
('app.session_text()'),
('app.session_uuid()');
