-- Attempts at healing: one at a time, on record before anything is changed, and less often after failures.
--
-- Records are written by mcp_audit, on the connection that runs no agent's SQL. The lock is taken in the very
-- transaction, or session, that changes something, so that it cannot outlive it, whatever kills the server.

set local search_path = 'declared_ops', 'pg_catalog';

-- Begins an attempt. Answers {"id": …}; or {"wait_seconds": …} where the same thing has failed before, and the
-- pause, which doubles with each failure of the last day from half a minute to an hour, is not over.
--   entry   columns of ops.healing_attempt
create function begin_attempt(entry jsonb) returns jsonb
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    failures bigint;
    latest timestamptz;
    pause interval;
begin
    perform pg_advisory_xact_lock(('x' || left(md5('ops.begin_attempt'), 16))::bit(64)::bigint);
    -- Of a server that was killed; an attempt has no more than its budget of a few minutes.
    update ops.healing_attempt as attempt
    set outcome = 'interrupted', finished_at = now()
    where attempt.outcome = 'running' and attempt.started_at < now() - interval '30 minutes';
    select count(*), max(attempt.finished_at) into failures, latest
    from ops.healing_attempt as attempt
    where
        attempt.fingerprint = entry ->> 'fingerprint' and attempt.outcome in ('failed', 'undone')
        and attempt.finished_at > now() - interval '1 day'
        and not exists (
            select from ops.healing_attempt as later
            where
                later.fingerprint = attempt.fingerprint and later.outcome = 'healed'
                and later.finished_at > attempt.finished_at
        );
    pause := least(interval '30 seconds' * 2 ^ (failures - 1), interval '1 hour');
    -- Once more at once is a second look; from then on it is a habit.
    if failures > 1 and latest + pause > now() then
        return jsonb_build_object('wait_seconds', ceil(extract(epoch from latest + pause - now())));
    end if;
    insert into ops.healing_attempt (id, agent, session, call_id, backend, sqlstate, class, seen, fingerprint)
    values (
        (entry ->> 'id')::uuid, entry ->> 'agent', entry ->> 'session', (entry ->> 'call_id')::uuid,
        pg_backend_pid(), entry ->> 'sqlstate', entry ->> 'class', entry ->> 'seen', entry ->> 'fingerprint'
    )
    on conflict (id) do nothing;
    return jsonb_build_object('id', entry ->> 'id');
end
$$;

-- Ends it; what is over stays as it was recorded.
create function end_attempt(attempt_id uuid, entry jsonb) returns boolean
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    update ops.healing_attempt as attempt
    set
        finished_at = clock_timestamp(), outcome = entry ->> 'outcome', report = entry -> 'report',
        duration_ms = (entry ->> 'duration_ms')::double precision
    where attempt.id = attempt_id and attempt.outcome = 'running';
    return found;
end
$$;

-- Whether this transaction is the one that heals now.
create function lock_healing() returns boolean
language sql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select pg_try_advisory_xact_lock(('x' || left(md5('ops.lock_healing'), 16))::bit(64)::bigint);
end;

-- The same lock for the session, until it ends or takes it back: VACUUM and CREATE INDEX CONCURRENTLY run in
-- no transaction that could hold it.
create function lock_healing_session() returns boolean
language sql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select pg_try_advisory_lock(('x' || left(md5('ops.lock_healing'), 16))::bit(64)::bigint);
end;

set local search_path = 'pg_catalog';
