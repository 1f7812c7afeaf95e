-- Quarantine: what moves rows there and back has no rights of its own, so that no agent gets round its policies by it.

create function assert_quarantine() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(pg_proc.oid::regprocedure::text, ', ' order by pg_proc.proname) into found
    from pg_proc
    where
        pg_proc.pronamespace = 'ops'::regnamespace
        and pg_proc.proname in (
            'cell', 'keep_orphans', 'keep_pieces', 'key_columns', 'loaded_values', 'orphan_condition', 'orphans',
            'quarantine_orphans', 'refuse_referred', 'replay', 'replay_fitting'
        )
        and (pg_proc.prosecdef or pg_proc.proconfig is null or 'search_path=pg_catalog, pg_temp' <> all (proconfig));
    if found is not null then
        raise exception 'quarantine: more than the rights of who calls it, or names looked up elsewhere: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(login.name || ' ' || asked.rights, ', ') into found
    from (values ('mcp_read'), ('mcp_write'), ('mcp_audit')) as login (name)
    cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as asked (rights)
    where
        has_table_privilege(login.name, 'migration.quarantine', asked.rights)
        or has_table_privilege(login.name, 'migration.quarantine_piece', asked.rights);
    if found is not null then
        raise exception 'quarantine: rows could be written by: %', found using hint = 'Run sql/load.sql again.';
    end if;
end
$$;
