-- Healing: what keeps mcp_heal from using all of an owner's rights is there and switched on.

create function assert_healing() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(pg_class.oid::regclass::text, ', ' order by pg_class.oid::regclass::text) into found
    from pg_class
    where
        pg_class.relkind = 'r' and pg_class.relrowsecurity
        and pg_class.relnamespace::regnamespace::text in ('public', 'migration')
        and pg_class.relowner = 'atlas_owner'::regrole
        and not exists (
            select from pg_trigger
            where
                pg_trigger.tgrelid = pg_class.oid
                and pg_trigger.tgname = 'no_truncate'
                and pg_trigger.tgenabled = 'O'
                and pg_trigger.tgfoid = to_regproc('app.no_truncate')
        );
    if found is not null then
        raise exception 'healing: mcp_heal could TRUNCATE: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(expected.name, ', ') into found
    from (values ('healing_begins', 'ddl_command_start'), ('healing_ends', 'ddl_command_end'))
        as expected (name, event)
    left join pg_event_trigger
        on
            pg_event_trigger.evtname = expected.name and pg_event_trigger.evtevent = expected.event
            and pg_event_trigger.evtenabled = 'O'
            and pg_event_trigger.evtfoid = to_regproc('app.' || expected.name)
    where
        pg_event_trigger.oid is null
        and (
            select pg_roles.rolsuper from pg_roles
            where pg_roles.rolname = current_user
        );
    if found is not null then
        raise exception 'healing: event triggers that are missing or switched off: %', found
            using hint = 'Run sql/load.sql again as a superuser.';
    end if;
end
$$;
