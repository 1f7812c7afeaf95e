-- Attempts at healing: one at a time, on record before anything is changed, and less often after failures.
--
-- Records are written by mcp_audit, on the connection that runs no agent's SQL. The lock is taken in the very
-- transaction, or session, that changes something, so that it cannot outlive it, whatever kills the server.
--
-- Healing can be paused, by one row of ops.healing_pause. What begins an attempt and what takes the lock refuse
-- then, and healing takes the lock again before each of its statements and before it commits: so whoever heals, on
-- whichever machine, stops before its next statement, and nobody has to be found first. They are PL/pgSQL because
-- they raise errors.

set local search_path = 'declared_ops', 'pg_catalog';

-- Who paused healing, since when and why; NULL where it is not paused.
create function healing_paused() returns text
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        string_agg(
            format(
                'by %s since %s UTC: %s',
                pause.paused_by, to_char(pause.paused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), pause.reason
            ),
            '; ' order by pause.id
        )
    from healing_pause as pause
    where pause.resumed_at is null;
end;

-- Stops all healing until resume_healing(): no attempt begins, and one that is under way stops before its next
-- statement. Answers what healing_paused() says from now on. Who pauses what is paused adds a reason.
--   who   the person, where several use one login
create function pause_healing(reason text, who text default null) returns text
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    if coalesce(trim(reason), '') = '' then
        raise invalid_parameter_value using
            message = 'Say why healing is paused: whoever finds it paused will want to know.';
    end if;
    insert into ops.healing_pause (paused_by, reason)
    values (coalesce(nullif(trim(who), '') || format(' (%s)', session_user), session_user), reason);
    return ops.healing_paused();
end
$$;

-- Ends every pause. Answers what healing_paused() said; NULL where it was not paused.
create function resume_healing(who text default null) returns text
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    paused text := ops.healing_paused();
begin
    update ops.healing_pause as pause
    set resumed_at = now(), resumed_by = coalesce(nullif(trim(who), '') || format(' (%s)', session_user), session_user)
    where pause.resumed_at is null;
    return paused;
end
$$;

-- An error while healing is paused.
create function refuse_while_paused() returns void
language plpgsql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    paused text := ops.healing_paused();
begin
    if paused is not null then
        raise object_not_in_prerequisite_state using
            message = format('Healing is paused %s', paused),
            hint = 'A person resumes it: mcp-server-atlas-pg heal resume, or select ops.resume_healing().';
    end if;
end
$$;

-- Seconds until an agent may begin an attempt, of which it may begin so many an hour; 0 where it may now. Counted
-- here, so that neither a restart nor a second watcher begins anew.
create function seconds_until_attempt(of_agent text, per_hour integer) returns double precision
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        coalesce(
            (
                select ceil(extract(epoch from attempt.started_at + interval '1 hour' - now()))::double precision
                from healing_attempt as attempt
                where attempt.agent = of_agent and attempt.started_at > now() - interval '1 hour'
                order by attempt.started_at desc
                limit 1 offset per_hour - 1
            ),
            0
        );
end;

-- Begins an attempt. Answers {"id": …}; or {"paused": …} where healing is; or {"wait_seconds": …} where the same
-- thing has failed before, and the pause, which doubles with each failure of the last day from half a minute to an
-- hour, is not over; or {"limit_seconds": …} where the agent has had its attempts of this hour.
--   entry   columns of ops.healing_attempt; and per_hour, how many attempts the agent may begin an hour, if limited
create function begin_attempt(entry jsonb) returns jsonb
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    failures bigint;
    latest timestamptz;
    pause interval;
    limited double precision;
begin
    if ops.healing_paused() is not null then
        return jsonb_build_object('paused', ops.healing_paused());
    end if;
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
    if entry ->> 'per_hour' is not null then
        limited := ops.seconds_until_attempt(entry ->> 'agent', (entry ->> 'per_hour')::integer);
        if limited > 0 then
            return jsonb_build_object('limit_seconds', limited);
        end if;
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

-- Whether this transaction is the one that heals now; an error while healing is paused.
create function lock_healing() returns boolean
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    perform ops.refuse_while_paused();
    return pg_try_advisory_xact_lock(('x' || left(md5('ops.lock_healing'), 16))::bit(64)::bigint);
end
$$;

-- The same lock for the session, until it ends or takes it back: VACUUM and CREATE INDEX CONCURRENTLY run in
-- no transaction that could hold it.
create function lock_healing_session() returns boolean
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    perform ops.refuse_while_paused();
    return pg_try_advisory_lock(('x' || left(md5('ops.lock_healing'), 16))::bit(64)::bigint);
end
$$;

-- Whether this session is the watcher that acts, until it ends. Others stand by: two that find the same fault would
-- both count it as an attempt.
create function lock_watching() returns boolean
language sql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select pg_try_advisory_lock(('x' || left(md5('ops.lock_watching'), 16))::bit(64)::bigint);
end;

set local search_path = 'pg_catalog';
