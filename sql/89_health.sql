-- What the health check has to know and agents may not see: sessions of others, open prepared transactions,
-- how far sequences are, and replicas. Names, ages and counts alone: no text of a statement, no value of a row.
--
-- SECURITY DEFINER with the rights of atlas_guard, who is in pg_read_all_stats for this (10_roles.sql).

set local search_path = 'declared_ops', 'pg_catalog';

-- The sessions of this database, by login: those in a transaction one by one, idle ones as well.
create function sessions()
returns table (pid integer, login text, state text, transaction_seconds bigint, state_seconds bigint)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        activity.pid,
        activity.usename::text,
        activity.state,
        extract(epoch from now() - activity.xact_start)::bigint,
        extract(epoch from now() - activity.state_change)::bigint
    from pg_stat_activity as activity
    where
        activity.datname = current_database()
        and activity.backend_type = 'client backend'
        and activity.pid <> pg_backend_pid();
end;

-- Transactions that were prepared and neither committed nor rolled back: they keep their locks without a session.
create function prepared_transactions()
returns table (name text, login text, seconds bigint)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        prepared.gid,
        prepared.owner::text,
        extract(epoch from now() - prepared.prepared)::bigint
    from pg_prepared_xacts as prepared
    where prepared.database = current_database();
end;

-- How far the sequences of schema public are, and how far they can go: to their own end, or to that of the
-- column that takes their numbers, whichever comes first.
create function sequence_use()
returns table (name text, used bigint, most bigint)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        format('%I.%I', namespace.nspname, class.relname),
        pg_sequence_last_value(class.oid),
        least(
            sequence.seqmax,
            case attribute.atttypid
                when 'smallint'::regtype then 32767
                when 'integer'::regtype then 2147483647
                else 9223372036854775807
            end
        )
    from pg_sequence as sequence
    inner join pg_class as class on sequence.seqrelid = class.oid
    inner join pg_namespace as namespace on class.relnamespace = namespace.oid
    left join pg_depend as depend
        on
            depend.classid = 'pg_class'::regclass and class.oid = depend.objid
            and depend.refclassid = 'pg_class'::regclass and depend.deptype in ('a', 'i')
    left join pg_attribute as attribute
        on depend.refobjid = attribute.attrelid and depend.refobjsubid = attribute.attnum
    where
        namespace.nspname = 'public' and sequence.seqincrement > 0 and not sequence.seqcycle
        -- Asked of sequences alone: the planner may ask before it has joined.
        and case when class.relkind = 'S' then has_sequence_privilege(class.oid, 'select') end;
end;

-- The replicas that are connected, and how far each is behind.
create function replicas()
returns table (name text, state text, behind_bytes bigint, behind_seconds bigint)
language sql stable security definer
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        replication.application_name,
        replication.state,
        pg_wal_lsn_diff(pg_current_wal_lsn(), replication.replay_lsn)::bigint,
        coalesce(extract(epoch from replication.replay_lag), 0)::bigint
    from pg_stat_replication as replication
    where replication.state = 'streaming';
end;

set local search_path = 'pg_catalog';
