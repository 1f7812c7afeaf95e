-- Ownership: atlas_owner owns all that is ours, and atlas_guard what decides, so that no login is
-- exempt from privileges and policies by owning something. What an extension brought belongs to
-- whoever created it.

create function assert_ownership() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(format('%s (%s)', thing.name, pg_get_userbyid(thing.owner)), ', ' order by thing.name)
    into found
    from (
        select
            pg_namespace.oid::regnamespace::text as name,
            pg_namespace.nspowner as owner,
            null::oid as oid,
            pg_namespace.nspname::text as schema
        from pg_namespace
        where pg_namespace.nspname in ('app', 'audit', 'ops', 'migration', 'migration_staging')
        union all
        select
            pg_class.oid::regclass::text,
            pg_class.relowner,
            pg_class.oid,
            pg_class.relnamespace::regnamespace::text
        from pg_class
        where
            pg_class.relnamespace::regnamespace::text in ('public', 'app', 'audit', 'ops', 'migration')
            and pg_class.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all
        select
            pg_proc.oid::regprocedure::text,
            pg_proc.proowner,
            pg_proc.oid,
            pg_proc.pronamespace::regnamespace::text
        from pg_proc
        where pg_proc.pronamespace::regnamespace::text in ('public', 'app', 'audit', 'ops', 'migration')
    ) as thing
    where
        pg_get_userbyid(thing.owner)
        <> case when thing.schema in ('app', 'audit', 'ops') then 'atlas_guard' else 'atlas_owner' end
        and not exists (
            select from pg_depend
            where pg_depend.objid = thing.oid and pg_depend.deptype = 'e'
        );
    if found is not null then
        raise exception 'ownership: not owned by atlas_owner (schemas app, audit and ops: atlas_guard): %', found
            using hint = 'Run sql/load.sql again; it hands them over.';
    end if;
end
$$;
