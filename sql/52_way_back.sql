-- The way back from a cutover: what triggers do that `migration cutover` and `migration rollback` put on tables.
--
-- The functions are here because the owner of the tables, whose rights mcp_heal inherits, may make none.

set local search_path = 'declared_migration', 'pg_catalog';

-- Logs the key of a row that is changed; without the name of a column, and of a TRUNCATE, that something was.
--   arguments   the run, the number of the table, and the columns of its key
--
-- SECURITY DEFINER, since nobody who writes rows may write the log.
create function note_change() returns trigger
language plpgsql security definer
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    columns constant text := (
        select string_agg(format('($1).%I::text', name), ', ' order by position)
        from unnest(tg_argv[2:]) with ordinality as argument (name, position)
    );
    before text [];
    after text [];
begin
    if columns is null or tg_op = 'TRUNCATE' then
        insert into migration.reverse_change (run_id, table_number) values (tg_argv[0]::bigint, tg_argv[1]::int);
        return null;
    end if;
    if tg_op <> 'INSERT' then
        execute format('select array[%s]', columns) using old into before;
        insert into migration.reverse_change (run_id, table_number, key)
        values (tg_argv[0]::bigint, tg_argv[1]::int, before);
    end if;
    if tg_op <> 'DELETE' then
        execute format('select array[%s]', columns) using new into after;
        if before is null or after is distinct from before then
            insert into migration.reverse_change (run_id, table_number, key)
            values (tg_argv[0]::bigint, tg_argv[1]::int, after);
        end if;
    end if;
    return null;
end
$$;

-- Refuses every write to a table whose platform went back to SQLite.
create function refuse_change() returns trigger
language plpgsql
set search_path to 'pg_catalog', 'pg_temp'
as $$
begin
    raise exception 'the platform of this database went back to its SQLite file: nothing is written here any more'
        using
            errcode = 'read_only_sql_transaction',
            hint = '''python -m migration follow --replace'' and ''cutover'' make PostgreSQL its database again.';
end
$$;

set local search_path = 'pg_catalog';
