-- What agents did: records of calls, images of the rows that they wrote, and what makes both true.
--
-- The chain (audit.call) is written by mcp_audit, on a connection that runs no agent's SQL: a record before
-- the statement runs and one after it. It outlives the rollback of the call. Each record's hash covers the one
-- before, so that whoever changes or removes one, an administrator too, breaks every later one.
--
-- The truth about a write is written in the write's own transaction: the MCP server seals the call's id into the
-- context (50_functions.sql), begin_write() takes it, a trigger on every table of public stores each row before
-- and after, end_write() closes it. None of it can be had without the rest: without begin_write() the trigger
-- refuses every row, and without end_write() a constraint refuses the commit.
--
-- The triggers' WHEN is false for everybody but the agents' logins: the platform pays for one comparison per row.
-- session_user, since cascades run as the owner of the table, and no login can change it.

set local search_path = 'declared_audit', 'pg_catalog';

-- Adds records to the chain; answers its end, "position:hash". A record that is there already is not added
-- again, so that whoever lost the connection may ask once more.
--   entries   an array of objects with columns of audit.call
create function append(entries jsonb) returns text
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
set bytea_output to 'hex'
set timezone to 'UTC'
as $$
declare
    item jsonb;
    filled jsonb;
    last record;
    previous bytea;
begin
    -- One at a time. The key is the first eight bytes of md5('audit.append').
    perform pg_advisory_xact_lock(('x' || left(md5('audit.append'), 16))::bit(64)::bigint);
    select call.position, call.hash into last from audit.call order by call.position desc limit 1;
    for item in select value from jsonb_array_elements(entries) loop
        continue when exists (
            select from audit.call
            where call.call_id = (item ->> 'call_id')::uuid and call.event = item ->> 'event'
        );
        filled := item || jsonb_build_object('position', coalesce(last.position, 0) + 1, 'at', clock_timestamp());
        filled := jsonb_strip_nulls(
            to_jsonb(jsonb_populate_record(null::audit.call, filled)) - array['previous', 'hash']
        );
        previous := coalesce(last.hash, sha256(''));
        insert into audit.call
        select *
        from jsonb_populate_record(null::audit.call, filled || jsonb_build_object(
            'previous', previous, 'hash', sha256(previous || convert_to(filled::text, 'UTF8'))
        ))
        returning call.position, call.hash into last;
    end loop;
    return last.position || ':' || encode(last.hash, 'hex');
end
$$;

-- Opens a transaction of an agent that may write: hands the sealed context in, and claims the idempotency key.
-- NULL where the context is not accepted. Where the key was used before, with "replayed": the result of then.
-- A twin that is under way is waited for, as long as lock_timeout allows.
create function begin_write(sealed text) returns jsonb
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    said jsonb;
    earlier record;
begin
    if not app.set_context(sealed) then
        return null;
    end if;
    said := substr(sealed, 65)::jsonb;
    -- Held until the transaction has ended, in whatever way: status() asks for it.
    perform pg_advisory_xact_lock(hashtextextended(said ->> 'call', 0));
    insert into audit.written (
        call_id, transaction, at, agent, session, row_limit, idempotency_key, request_sha256
    )
    values (
        (said ->> 'call')::uuid, said ->> 'transaction', now(), said ->> 'agent', said ->> 'session',
        (said ->> 'affected_rows')::bigint, said ->> 'idempotency_key', said ->> 'request_sha256'
    )
    on conflict (agent, idempotency_key) do nothing;
    if found then
        return jsonb_build_object('replayed', false);
    end if;
    select written.* into strict earlier
    from audit.written
    where written.agent = said ->> 'agent' and written.idempotency_key = said ->> 'idempotency_key';
    return jsonb_build_object(
        'replayed', true, 'call_id', earlier.call_id, 'request_sha256', earlier.request_sha256,
        'result', earlier.result
    );
end
$$;

-- Closes it; how many rows were written, and the hash of their images.
--   result   what a further call with the same key is answered
create function end_write(result jsonb, out affected bigint, out images_sha256 text) returns record
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    opened record;
    kept bigint;
begin
    select written.call_id, written.row_limit into opened
    from audit.written
    where
        written.transaction
        = pg_backend_pid() || '/' || (extract(epoch from transaction_timestamp()) * 1000000)::bigint
        and written.affected is null;
    if not found then
        raise insufficient_privilege using message = 'this transaction was not begun as a call, or has ended as one';
    end if;
    affected := coalesce(nullif(current_setting('audit.rows', true), '')::bigint, 0);
    if affected > opened.row_limit then
        raise program_limit_exceeded using message = format(
            'the call would change %s rows, cascades included; the limit is %s', affected, opened.row_limit
        );
    end if;
    select
        count(*),
        encode(sha256(coalesce(string_agg(sha256(convert_to(
            jsonb_strip_nulls(to_jsonb(row_image))::text, 'UTF8'
        )), '' order by row_image.position), '')), 'hex')
    into kept, images_sha256
    from audit.row_image
    where row_image.call_id = opened.call_id;
    if kept <> affected then
        raise data_corrupted using message = format('%s rows were changed, and %s recorded', affected, kept);
    end if;
    update audit.written
    set
        affected = end_write.affected, images_sha256 = end_write.images_sha256, result = end_write.result
    where written.call_id = opened.call_id;
end
$$;

-- Stores a row before and after. The row's size is bounded: beyond 1 MiB a row, and 64 MiB a call, its key and
-- hash alone are kept, and the call cannot be undone. Whether the row can be put back exactly is tried here and
-- now (json loses its spaces, float8 the sign of zero, an array its bounds).
create function image() returns trigger
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
set bytea_output to 'hex'
set intervalstyle to 'postgres'
set timezone to 'UTC'
as $$
declare
    opened record;
    counted constant bigint := coalesce(nullif(current_setting('audit.rows', true), '')::bigint, 0) + 1;
    size bigint;
    total bigint;
    before jsonb;
    after jsonb;
    flaw text;
begin
    select written.call_id, written.row_limit into opened
    from audit.written
    where
        written.transaction
        = pg_backend_pid() || '/' || (extract(epoch from transaction_timestamp()) * 1000000)::bigint
        and written.affected is null;
    if not found then
        raise insufficient_privilege using
            message = format('%s writes as a call of the MCP server alone', session_user);
    end if;
    perform set_config('audit.rows', counted::text, true);
    -- It will be refused at its end; until then the rows are only counted, to say how many.
    if counted > opened.row_limit then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        before := to_jsonb(old);
        if not jsonb_populate_record(old, before) *= old then
            flaw := 'its values cannot be written as JSON without loss';
        end if;
    end if;
    if tg_op <> 'DELETE' then
        after := to_jsonb(new);
    end if;
    size := coalesce(pg_column_size(before), 0) + coalesce(pg_column_size(after), 0);
    total := size + coalesce(nullif(current_setting('audit.bytes', true), '')::bigint, 0);
    if size > 1048576 or total > 67108864 then
        flaw := case when size > 1048576 then 'it is larger than 1 MiB' else 'the call''s rows are larger than 64 MiB' end;
        before := audit.key_and_hash(tg_relid, before);
        after := audit.key_and_hash(tg_relid, after);
    else
        perform set_config('audit.bytes', total::text, true);
    end if;
    insert into audit.row_image (call_id, position, table_name, operation, before, after, flaw)
    values (opened.call_id, counted, tg_relid::regclass::text, tg_op, before, after, flaw);
    return null;
end
$$;

-- What is kept of a row that is too large: its primary key, and the hash of the whole.
create function key_and_hash(of_table oid, content jsonb) returns jsonb
language sql stable
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        jsonb_build_object('sha256', encode(sha256(convert_to(content::text, 'UTF8')), 'hex'))
        || coalesce(jsonb_object_agg(pg_attribute.attname, content -> pg_attribute.attname::text), '{}')
    from pg_index
    inner join pg_attribute
        on pg_attribute.attrelid = pg_index.indrelid and pg_attribute.attnum = any(pg_index.indkey)
    where pg_index.indrelid = of_table and pg_index.indisprimary and content is not null;
end;

-- What became of a call. "state": committed; running, while its transaction is open; not_committed.
-- The lock is asked for before the row: whoever gives it up has been committed visibly, or never will be.
create function status(of_call uuid) returns jsonb
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
set timezone to 'UTC'
as $$
declare
    is_running constant boolean := not pg_try_advisory_xact_lock_shared(hashtextextended(of_call::text, 0));
begin
    return (
        select
            jsonb_build_object(
                'state', case
                    when written.call_id is not null then 'committed'
                    when is_running then 'running'
                    else 'not_committed'
                end,
                'affected', written.affected,
                'agent', coalesce(written.agent, begun.agent),
                'session', coalesce(written.session, begun.session),
                'tool', begun.tool,
                'began_at', begun.at,
                'ended_at', ended.at,
                'outcome', ended.outcome,
                'sqlstate', ended.sqlstate,
                'idempotency_key', written.idempotency_key
            )
        from (select of_call as id) as asked
        left join audit.written on written.call_id = asked.id
        left join audit.call as begun on begun.call_id = asked.id and begun.event = 'begin'
        left join audit.call as ended on ended.call_id = asked.id and ended.event = 'end'
        where written.call_id is not null or begun.call_id is not null or is_running
    );
end
$$;

-- Nothing that was recorded is changed, by mistake or by a superuser in a hurry; and removed only after a
-- checkpoint has said so in the chain. Who means it can switch the trigger off: then the chain tells.
create function no_change() returns trigger
language plpgsql
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    case
        when tg_op = 'UPDATE' and tg_table_name = 'written' then
            if old.affected is null then
                return new;
            end if;
        when tg_op = 'DELETE' and tg_table_name = 'call' then
            if old.position <= (select max(call.archived_position) from audit.call) then
                return old;
            end if;
        when tg_op = 'DELETE' then
            if
                not exists (select from audit.call where call.call_id = old.call_id)
                and exists (select from audit.call where call.event = 'checkpoint')
            then
                return old;
            end if;
        else
    end case;
    raise insufficient_privilege using message = format('%s of audit.%I', tg_op, tg_table_name),
        hint = 'Old calls are archived by ''python -m mcp_server audit archive''.';
end
$$;

create function no_open_end() returns trigger
language plpgsql security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    if exists (select from audit.written where written.call_id = new.call_id and written.affected is null) then
        raise insufficient_privilege using message = 'a call is committed by the MCP server alone, at its end';
    end if;
    return null;
end
$$;

create trigger no_change before update or delete on call
for each row execute function no_change();
create trigger no_change before update or delete on written
for each row execute function no_change();
create trigger no_change before update or delete on row_image
for each row execute function no_change();
create trigger no_truncate before truncate on call
for each statement execute function no_change();
create trigger no_truncate before truncate on written
for each statement execute function no_change();
create trigger no_truncate before truncate on row_image
for each statement execute function no_change();
create constraint trigger no_open_end after insert on written deferrable initially deferred
for each row execute function no_open_end();

-- Puts the triggers on a new table, with the rights of whoever makes it. After it in the alphabet, and so in
-- time, healing_ends judges what came of it.
create function follow_tables() returns event_trigger
language plpgsql
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    made record;
begin
    if tg_tag not in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'ALTER TABLE') then
        return;
    end if;
    -- Nobody whose tables agents may write. The next run of load.sql does it, and hands the table over.
    if not has_schema_privilege('audit', 'USAGE') then
        return;
    end if;
    for made in
        select distinct pg_class.oid::regclass as name
        from pg_event_trigger_ddl_commands() as command
        inner join pg_class on pg_class.oid = command.objid
        where
            command.classid = 'pg_class'::regclass and not command.in_extension
            and pg_class.relkind in ('r', 'p') and not pg_class.relispartition
            and pg_class.relnamespace = 'public'::regnamespace
            and not exists (
                select from pg_trigger
                where pg_trigger.tgrelid = pg_class.oid and pg_trigger.tgname = 'row_image'
            )
    loop
        execute format(
            'create trigger row_image after insert or update or delete on %s for each row
             when (session_user in (''mcp_write'', ''mcp_heal'')) execute function audit.image()', made.name
        );
        execute format(
            'create trigger no_truncate before truncate on %s
             for each statement execute function app.no_truncate()', made.name
        );
    end loop;
end
$$;

insert into declared.event_trigger (name, event, function_name) values
('audit_follows', 'ddl_command_end', 'audit.follow_tables');

-- What differences/triggers.sql puts on every table of public, those that sql/ does not declare too.
create table declared.common (id integer);
create trigger row_image after insert or update or delete on declared.common
for each row when (session_user in ('mcp_write', 'mcp_heal')) execute function image();
create trigger no_truncate before truncate on declared.common
for each statement execute function declared_app.no_truncate();

set local search_path = 'pg_catalog';
