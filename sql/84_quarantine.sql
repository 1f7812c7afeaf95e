-- Rows in migration.quarantine, and how they come back.
--
-- A migration puts rows there that never arrived, in the words of SQLite (migration/quarantine). Healing puts
-- rows there that were here already (86_orphans.sql): they are of no run (run_id is NULL), and each value is
-- PostgreSQL's own text of it, which was tried to give the very same row. One list holds both. `python -m
-- migration quarantine` replays both, those of no run by replay() here. Agents' postgres_heal, whose image
-- holds no migration code, replays by replay_fitting(): those of no run, and of a migration's those whose
-- values say the same in both worlds.
--
-- SECURITY INVOKER, all of them: what they read and write, the caller's rights and policies decide. With the
-- rights of an owner they would be a way round row-level security, since they take the name of any table.
-- PL/pgSQL, since the tables are not known before.

set local search_path = 'declared_ops', 'pg_catalog';

-- A value as migration.quarantine.row_values has it: a long one is referred to, its bytes are in
-- quarantine_piece.
create function cell(content text) returns jsonb
language sql immutable
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        case
            when content is null then '{"class": "null", "value": null}'::jsonb
            when octet_length(content) <= 65536 then jsonb_build_object('class', 'text', 'value', content)
            else
                jsonb_build_object(
                    'class', 'text', 'encoding', 'pieces', 'bytes', octet_length(content),
                    'sha256', encode(sha256(convert_to(content, 'UTF8')), 'hex')
                )
        end;
end;

-- Writes the bytes of the long ones among a quarantined row's values beside it; what is there already stays.
create function keep_pieces(entry bigint, contents text[]) returns void
language plpgsql volatile
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    insert into migration.quarantine_piece (quarantine_id, sha256, part, piece)
    select
        entry,
        encode(sha256(long.bytes), 'hex'),
        part.number,
        substring(long.bytes from part.number * 8388608 + 1 for 8388608)
    from (
        select distinct convert_to(content, 'UTF8') as bytes
        from unnest(contents) as content
        where octet_length(content) > 65536
    ) as long
    cross join generate_series(0, (length(long.bytes) - 1) / 8388608) as part (number)
    on conflict do nothing;
end
$$;

-- A row that a migration refused, as its plan would convert it now: {"contents": column → text that
-- PostgreSQL reads, "cells": column → what replayed_values has}. Only what is the same in both worlds,
-- whoever looks at it; where a policy, a format or an expression decides, it is the migration's (0A000), and
-- so a person's.
create function loaded_values(entry bigint) returns jsonb
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
set datestyle to 'ISO, YMD'
set timezone to 'UTC'
as $$
declare
    kept record;
    planned jsonb;
    field record;
    content text;
    cell jsonb;
    contents jsonb := '{}';
    cells jsonb := '{}';
begin
    select quarantine.* into strict kept from migration.quarantine where quarantine.id = entry;
    select plan.value into planned
    from migration.run
    cross join jsonb_array_elements(run.plan -> 'tables') as plan
    where run.id = kept.run_id and plan.value ->> 'target' = kept.table_name;
    if
        planned is null or planned ->> 'schema_name' <> 'public' or planned ->> 'impossible' is not null
        or jsonb_array_length(planned -> 'backfilled') > 0
        or exists (
            select from migration.follow
            where
                follow.run_id = kept.run_id
                and not exists (
                    select from migration.cutover
                    where cutover.run_id = follow.run_id and cutover.state = 'done'
                )
        )
    then
        raise feature_not_supported using message = format('row %s is for its migration to replay', entry);
    end if;
    for field in
        select
            a.attname::text as name,
            format_type(a.atttypid, -1) as type,
            kept.row_values -> (planned_column.value ->> 'source') as given,
            kept.row_values -> (planned_column.value ->> 'source') ->> 'class' as class,
            kept.row_values -> (planned_column.value ->> 'source') ->> 'encoding' as encoding,
            kept.row_values -> (planned_column.value ->> 'source') ->> 'value' as value,
            planned_column.value ->> 'generated' is null and a.attgenerated = '' and not exists (
                select from jsonb_each_text(planned_column.value -> 'policy') as policy
                where policy.value <> 'quarantine'
            ) as is_plain
        from jsonb_array_elements(planned -> 'columns') as planned_column
        left join pg_attribute as a
            on
                a.attrelid = to_regclass(format('public.%I', kept.table_name))
                and a.attname = planned_column.value ->> 'target' and not a.attisdropped
    loop
        content := field.value;
        cell := field.given;
        if field.class = 'text' and field.encoding = 'pieces' then
            select convert_from(string_agg(piece.piece, '' order by piece.part), 'UTF8') into content
            from migration.quarantine_piece as piece
            where piece.quarantine_id = entry and piece.sha256 = field.given ->> 'sha256';
        end if;
        case
            when not field.is_plain or field.name is null then
                cell := null;
            when field.class = 'null' then
                null;
            when field.class = 'integer' and field.type in ('smallint', 'integer', 'bigint') then
                null;
            when field.class = 'integer' and field.type = 'boolean' and content in ('0', '1') then
                cell := jsonb_build_object('class', 'boolean', 'value', content = '1');
            when
                field.class = 'integer' and field.type = 'double precision'
                and abs(content::numeric) <= 9007199254740992
            then
                cell := jsonb_build_object('class', 'real', 'value', content || '.0');
            when field.class = 'real' and field.type = 'double precision' then
                null;
            -- A text whose bytes are in hexadecimal is none that PostgreSQL holds.
            when
                field.class = 'text' and field.encoding is distinct from 'hex'
                and (
                    field.type in ('text', 'character varying', 'uuid', 'jsonb', 'json')
                    or field.type = 'date' and content ~ '^\d{4}-\d\d-\d\d$'
                )
            then
                null;
            when
                field.class = 'text' and field.type = 'timestamp without time zone'
                and content ~ '^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?$'
            then
                cell := jsonb_build_object(
                    'class', 'timestamp', 'value', to_char(
                        content::timestamp,
                        case
                            when extract(microseconds from content::timestamp)::bigint % 1000000 = 0
                                then 'YYYY-MM-DD"T"HH24:MI:SS'
                            else 'YYYY-MM-DD"T"HH24:MI:SS.US'
                        end
                    )
                );
            when field.class = 'blob' and field.type = 'bytea' and field.encoding = 'hex' then
                content := '\x' || content;
            else
                cell := null;
        end case;
        if cell is null then
            raise feature_not_supported using
                message = format('row %s is for its migration to convert: %s', entry, field.name);
        end if;
        contents := contents || jsonb_build_object(field.name, content);
        cells := cells || jsonb_build_object(field.name, cell);
    end loop;
    return jsonb_build_object('contents', contents, 'cells', cells);
end
$$;

-- Puts a row back where it was, or was meant for, with all constraints on, compares it, and marks it as
-- replayed.
--   entry      its id
--   repaired   column → text or null: what is put in the place of its values
create function replay(entry bigint, repaired jsonb) returns void
language plpgsql volatile
set search_path to 'pg_catalog', 'pg_temp'
set bytea_output to 'hex'
set datestyle to 'ISO, YMD'
set extra_float_digits to '1'
set intervalstyle to 'postgres'
set timezone to 'UTC'
as $$
declare
    kept record;
    shape record;
    relation regclass;
    contents jsonb;
    cells jsonb;
    place tid;
    differing text;
    behind record;
begin
    select quarantine.* into kept
    from migration.quarantine
    where quarantine.id = entry and quarantine.replayed_at is null
    for update;
    if not found then
        raise no_data_found using message = format('%s is no row that waits in quarantine', entry);
    end if;
    relation := to_regclass(format('public.%I', kept.table_name));
    if relation is null then
        raise undefined_table using message = format('table %I is not there', kept.table_name);
    end if;
    if kept.run_id is not null then
        cells := ops.loaded_values(entry);
        contents := cells -> 'contents';
        cells := cells -> 'cells';
    else
        select jsonb_object_agg(
            value.key,
            case value.value ->> 'encoding'
                when 'pieces' then (
                    select convert_from(string_agg(piece.piece, '' order by piece.part), 'UTF8')
                    from migration.quarantine_piece as piece
                    where piece.quarantine_id = entry and piece.sha256 = value.value ->> 'sha256'
                )
                else value.value ->> 'value'
            end
        ) || repaired
        into contents
        from jsonb_each(kept.row_values) as value;
    end if;

    -- Columns that came since have their defaults; what PostgreSQL computes, it computes again.
    select
        string_agg(format('%I', a.attname), ', ') as names,
        string_agg(format('($1 ->> %L)::%s', a.attname, format_type(a.atttypid, -1)), ', ') as given,
        string_agg(
            format(
                'case when r.%1$I::text is distinct from %2$s then %3$L end', a.attname,
                case
                    -- The kept text is PostgreSQL's own; any other may say the same in other words.
                    when repaired ? a.attname or kept.run_id is not null
                        then format('(($1 ->> %L)::%s)::text', a.attname, format_type(a.atttypid, a.atttypmod))
                    else format('$1 ->> %L', a.attname)
                end, a.attname
            ), ', '
        ) as differences
    into shape
    from pg_attribute as a
    where
        a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        and contents ? a.attname;
    select string_agg(name, ', ') into differing
    from jsonb_object_keys(contents) as name
    where not exists (
        select from pg_attribute as a where a.attrelid = relation and a.attname = name and not a.attisdropped
    );
    if differing is not null then
        raise undefined_column using message = format('table %s has no column %s', relation, differing);
    end if;

    execute format(
        'insert into %s as r (%s) overriding system value select %s returning r.ctid',
        relation, shape.names, shape.given
    ) into strict place using contents;
    execute format('select concat_ws('', '', %s) from %s as r where r.ctid = $2', shape.differences, relation)
    into strict differing using contents, place;
    if differing <> '' then
        raise data_exception using
            message = format('%s holds another value than it was given in %s', relation, differing);
    end if;
    perform ops.keep_pieces(entry, array(select value.value from jsonb_each_text(contents) as value));
    update migration.quarantine
    set
        replayed_at = now(),
        replayed_values = coalesce(
            cells,
            (select jsonb_object_agg(value.key, ops.cell(value.value)) from jsonb_each_text(contents) as value)
        )
    where quarantine.id = entry;
    -- The next number of the table is not one that has come with the row.
    for behind in
        select a.attname, pg_get_serial_sequence(relation::text, a.attname)::regclass as sequence
        from pg_attribute as a
        where a.attrelid = relation and a.attidentity <> '' and contents ->> a.attname is not null
    loop
        if (contents ->> behind.attname)::bigint > coalesce(pg_sequence_last_value(behind.sequence), 0) then
            perform setval(behind.sequence, (contents ->> behind.attname)::bigint);
        end if;
    end loop;
end
$$;

-- Tries the rows that are in quarantine for a reason, as they are: those whose parent is there by now fit, or
-- whose place is free, or whose column is wider, in whatever order. NULL for those that are back, else the
-- SQLSTATE of what still refuses them.
--   most   rows that are tried
create function replay_fitting(
    of_table text, of_column text, of_state text, most bigint
) returns table (entry bigint, refused text)
language plpgsql volatile
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    waiting bigint[];
    left_over bigint[];
    refusals jsonb;
    deferred text;
begin
    if (select every_session from app.context()) is not true then
        raise insufficient_privilege using
            message = 'rows of every session may be concerned, and this agent does not see them',
            hint = 'An agent that sees every session does it, or a person.';
    end if;
    -- Else what is deferred would refuse all of them at the end.
    select string_agg(format('public.%I', k.conname), ', ') into deferred
    from pg_constraint as k
    where k.condeferrable and k.conrelid = to_regclass(format('public.%I', of_table));
    if deferred is not null then
        execute format('set constraints %s immediate', deferred);
    end if;
    waiting := array(
        select quarantine.id
        from migration.quarantine
        where
            quarantine.replayed_at is null
            and quarantine.table_name = of_table and quarantine.column_name is not distinct from of_column
            and quarantine.sqlstate is not distinct from of_state
        order by quarantine.id
        limit most
    );
    loop
        left_over := '{}';
        refusals := '{}';
        foreach entry in array waiting loop
            refused := null;
            begin
                perform ops.replay(entry, '{}');
            exception
                when
                    data_exception or integrity_constraint_violation or program_limit_exceeded
                    or raise_exception or undefined_table or undefined_column or feature_not_supported
                then
                    refused := sqlstate;
            end;
            if refused is null then
                return next;
            else
                left_over := left_over || entry;
                refusals := refusals || jsonb_build_object(entry::text, refused);
            end if;
        end loop;
        exit when cardinality(left_over) = cardinality(waiting);
        waiting := left_over;
    end loop;
    foreach entry in array left_over loop
        refused := refusals ->> entry::text;
        return next;
    end loop;
end
$$;

set local search_path = 'pg_catalog';
