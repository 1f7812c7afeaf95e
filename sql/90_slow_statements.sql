-- Which statements take the time of the server, for the health check and the healing of them; and which indexes
-- healing has built for them.
--
-- pg_stat_statements puts $1, $2, … in the place of values, so a text says what is asked and of which columns, and
-- no value of a row. Not always: a text that was forgotten while its statement ran is stored as it was sent, comments
-- stay, and so do utility statements whole. So a text with anything in it that may be a value is left out.
--
-- SECURITY DEFINER with the rights of atlas_guard, who is in pg_read_all_stats for this (10_roles.sql).

set local search_path = 'declared_ops', 'pg_catalog';

-- What the platform and agents ran in this database since the statistics began, one row for each form of statement.
-- For the functions here alone, and before them in the order of names, in which functions are made. Nothing where pg_stat_statements is not there, or was not loaded at the server's start.
-- PL/pgSQL, since the view need not exist, and lies where whoever created the extension has put it.
create function counted_statements()
returns table (
    id text, statement text, calls bigint, total_ms double precision, rows_read bigint, blocks bigint
)
language plpgsql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    home text := (
        select quote_ident(nspname) from pg_namespace
        inner join pg_extension on pg_extension.extnamespace = pg_namespace.oid
        where pg_extension.extname = 'pg_stat_statements'
    );
begin
    if home is null or not exists (select from pg_settings where name = 'pg_stat_statements.max') then
        return;
    end if;
    return query execute replace($query$
        select
            stats.queryid::text,
            min(plain.text),
            sum(stats.calls)::bigint,
            sum(stats.total_exec_time),
            sum(stats.rows)::bigint,
            sum(stats.shared_blks_hit + stats.shared_blks_read)::bigint
        from home.pg_stat_statements as stats
        inner join pg_roles on pg_roles.oid = stats.userid
        -- Where PostgreSQL 18 has put one value in the place of a list.
        cross join lateral (select replace(stats.query, ' /*, ... */', '') as text) as plain
        where
            stats.dbid = (select oid from pg_database where datname = current_database())
            and pg_roles.rolname in ('atlas', 'mcp_read', 'mcp_write')
            and plain.text ~* '^\s*(select|with|insert|update|delete|merge)\M'
            -- A quote, a comment, a number, a text between dollars.
            and plain.text !~ '''|--|/\*|(^|[^[:alnum:]_$])[0-9]|\$[^0-9]'
        group by stats.queryid
    $query$, 'home.', home || '.');
end
$$;

-- The same, counted anew from when an index was built for a statement: whether that has helped shows from then on.
--   indexed_at   NULL where none was, or the statistics are younger
create function slow_statements()
returns table (
    id text, statement text, calls bigint, total_ms double precision, rows_read bigint, blocks bigint,
    indexed_at timestamptz
)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        counted.id,
        counted.statement,
        counted.calls - coalesce(before.calls, 0),
        counted.total_ms - coalesce(before.total_ms, 0),
        counted.rows_read - coalesce(before.rows_read, 0),
        counted.blocks - coalesce(before.blocks, 0),
        before.ended_at
    from counted_statements() as counted
    left join
        lateral (
            select built.*
            from built_index as built
            where
                built.statement = encode(sha256(convert_to(counted.statement, 'UTF8')), 'hex')
                and built.outcome = 'kept' and built.calls <= counted.calls and built.total_ms <= counted.total_ms
            order by built.ended_at desc
            limit 1
        ) as before
        on true;
end;

-- Before an index is built: whoever kills the server in the middle, what is there is known to be healing's.
--   entry   columns of ops.built_index
create function begin_index(entry jsonb) returns boolean
language sql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    insert into built_index (id, name, table_name, definition, statement)
    values (
        (entry ->> 'id')::uuid, entry ->> 'name', entry ->> 'table', entry ->> 'definition', entry ->> 'statement'
    )
    on conflict (id) do nothing;
    select true;
end;

-- After it was judged: kept, or dropped; the index that is there now is the one, and what its statement has cost until
-- now it has cost without it.
create function end_index(built_id uuid, judged text) returns boolean
language sql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    update built_index as built
    set
        ended_at = clock_timestamp(), outcome = judged,
        (calls, total_ms, rows_read, blocks) = (
            select
                counted.calls,
                counted.total_ms,
                counted.rows_read,
                counted.blocks
            from counted_statements() as counted
            where built.statement = encode(sha256(convert_to(counted.statement, 'UTF8')), 'hex')
            limit 1
        ),
        index_oid = (
            select pg_class.oid from pg_class
            inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
            where
                judged = 'kept' and pg_namespace.nspname = 'public' and pg_class.relkind = 'i'
                and pg_class.relname = built.name
        )
    where built.id = built_id and built.outcome = 'building';
    select true;
end;

-- What healing has built, for the health check.
create function built_indexes()
returns table (
    name text, table_name text, definition text, statement text, outcome text, index_oid oid, at timestamptz
)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        built.name,
        built.table_name,
        built.definition,
        built.statement,
        built.outcome,
        built.index_oid,
        coalesce(built.ended_at, built.began_at)
    from built_index as built;
end;

-- An index that EXPLAIN in this session takes for one that is there, until suppose_nothing(): its name in plans; NULL
-- where hypopg is not there. It costs nothing, and no other session sees it.
-- PL/pgSQL, since the extension need not exist, and lies where whoever created it has put it.
create function suppose_index(definition text) returns text
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    home text := (
        select quote_ident(nspname) from pg_namespace
        inner join pg_extension on pg_extension.extnamespace = pg_namespace.oid
        where pg_extension.extname = 'hypopg'
    );
    supposed text;
begin
    if home is not null then
        execute format('select indexname from %s.hypopg_create_index($1)', home) into supposed using definition;
    end if;
    return supposed;
end
$$;

create function suppose_nothing() returns void
language plpgsql volatile security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    home text := (
        select quote_ident(nspname) from pg_namespace
        inner join pg_extension on pg_extension.extnamespace = pg_namespace.oid
        where pg_extension.extname = 'hypopg'
    );
begin
    if home is not null then
        execute format('select %s.hypopg_reset()', home);
    end if;
end
$$;

set local search_path = 'pg_catalog';
