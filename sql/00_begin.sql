-- One transaction, one applier at a time, and the scratch schemas to declare in.
--
-- Why the time limit on locks: the platform may be running. A statement that waits for a table
-- makes everybody after it wait as well; it is better to give up and be run again.
-- Why an empty search_path for what follows: PostgreSQL prints names with their schema then, and
-- the differences are found by comparing printed definitions.

begin;

set local client_min_messages = 'warning';
set local lock_timeout = '20s';
set local search_path = 'pg_catalog';

do $$
begin
    if current_setting('server_version_num')::integer < 160000 then
        raise exception 'PostgreSQL 16 or later is needed; this server is %',
            current_setting('server_version');
    end if;
    -- The key is the first eight bytes of md5('atlas-postgres sql/load.sql'), for no other reason
    -- than that nobody else uses it.
    perform pg_advisory_xact_lock(('x' || left(md5('atlas-postgres sql/load.sql'), 16))::bit(64)::bigint);
end
$$;

-- Facts about roles and privileges are declared as rows here ...
create schema declared;
-- ... and objects as objects: declared_public stands for public, and so on. "declared_" is
-- stripped from printed definitions, so no name of ours may contain it.
create schema declared_public;
create schema declared_migration;
create schema declared_app;
create schema declared_audit;
create schema declared_ops;
