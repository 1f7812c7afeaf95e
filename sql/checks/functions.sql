-- Functions: of all that may do something, agents can call those listed here, and no other.
--
-- By has_function_privilege over every function of the catalogue, wherever it lies and whoever brought
-- it. Where whoever runs this could not take a right away (a managed PostgreSQL's own functions), it
-- is no finding.

create function assert_functions() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found text;
begin
    select string_agg(format('%s may call %s', login.name, pg_proc.oid::regprocedure), '; ') into found
    from (values ('mcp_read'), ('mcp_write'), ('mcp_heal'), ('mcp_audit')) as login (name)
    cross join pg_proc
    where
        pg_proc.provolatile = 'v'
        and pg_proc.prorettype not in (
            'trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype,
            'fdw_handler'::regtype, 'index_am_handler'::regtype, 'table_am_handler'::regtype,
            'tsm_handler'::regtype, 'internal'::regtype
        )
        and not 'internal'::regtype = any(pg_proc.proargtypes::oid [])
        and has_function_privilege(login.name, pg_proc.oid, 'EXECUTE')
        and pg_has_role(current_user, pg_proc.proowner, 'USAGE')
        -- mcp_heal inherits from the owner of what lies in public.
        and pg_proc.pronamespace::regnamespace::text not in ('public', 'migration', 'migration_staging')
        and not (
            login.name <> 'mcp_audit' and pg_proc.oid = 'app.set_context(text)'::regprocedure
            or login.name = 'mcp_audit'
            and pg_proc.oid
            in (
                'ops.begin_attempt(jsonb)'::regprocedure, 'ops.end_attempt(uuid, jsonb)'::regprocedure,
                'ops.pause_healing(text, text)'::regprocedure, 'ops.resume_healing(text)'::regprocedure,
                'ops.lock_watching()'::regprocedure, 'ops.begin_index(jsonb)'::regprocedure,
                'ops.end_index(uuid, text)'::regprocedure
            )
            or login.name = 'mcp_read'
            and pg_proc.oid in ('ops.suppose_index(text)'::regprocedure, 'ops.suppose_nothing()'::regprocedure)
            or login.name = 'mcp_heal'
            and pg_proc.oid in ('ops.lock_healing()'::regprocedure, 'ops.lock_healing_session()'::regprocedure)
            or login.name = 'mcp_heal'
            -- With the rights of who calls them alone: quarantine.sql.
            and pg_proc.oid in (
                'ops.keep_orphans(regclass, tid [], text, text)'::regprocedure,
                'ops.keep_pieces(bigint, text [])'::regprocedure,
                'ops.quarantine_orphans(oid, jsonb, bigint)'::regprocedure,
                'ops.replay(bigint, jsonb)'::regprocedure,
                'ops.replay_fitting(text, text, text, bigint)'::regprocedure
            )
            or login.name in ('mcp_write', 'mcp_heal')
            and pg_proc.oid in ('audit.begin_write(text)'::regprocedure, 'audit.end_write(jsonb)'::regprocedure)
            or login.name = 'mcp_audit'
            and pg_proc.oid in ('audit.append(jsonb)'::regprocedure, 'audit.status(uuid)'::regprocedure)
        )
        and not (
            pg_proc.pronamespace = 'pg_catalog'::regnamespace
            and (
                pg_proc.proname in (
                    'random', 'random_normal', 'setseed', 'array_sample', 'array_shuffle',
                    'gen_random_uuid', 'uuidv4', 'uuidv7', 'clock_timestamp', 'timeofday',
                    'current_query', 'currval', 'lastval', 'nextval', 'setval', 'pg_database_size',
                    'pg_indexes_size', 'pg_relation_size', 'pg_table_size', 'pg_tablespace_size',
                    'pg_total_relation_size', 'pg_partition_ancestors', 'pg_partition_tree',
                    'pg_sequence_last_value', 'pg_is_in_recovery', 'pg_lock_status',
                    'pg_advisory_unlock_all'
                )
                or pg_proc.proname like 'pg\_stat\_get\_xact\_%'
            )
        );
    if found is not null then
        raise exception 'functions: that act, and agents could call: %', found
            using hint = 'Run sql/load.sql again as a superuser.';
    end if;

    -- Neither the names nor the language of what they promise not to do is enough: asked once more
    -- for what nobody may miss, in whatever form it comes.
    select string_agg(format('%s may call %s', login.name, pg_proc.oid::regprocedure), '; ') into found
    from (values ('mcp_read'), ('mcp_write'), ('mcp_heal'), ('mcp_audit')) as login (name)
    cross join pg_proc
    where
        pg_proc.proname ~ (
            '^(pg_sleep|pg_(try_)?advisory_(xact_)?lock|set_config|pg_notify|pg_terminate_backend'
            '|pg_cancel_backend|pg_read_|pg_ls_|pg_stat_file|lo_|dblink|query_to_|cursor_to_|table_to_xml'
            '|schema_to_xml|database_to_xml|ts_stat|pg_export_snapshot|pg_logical_|pg_stat_get_activity'
            '|pg_stat_get_backend_(activity|client)|txid_current$|pg_current_xact_id$)'
        )
        and has_function_privilege(login.name, pg_proc.oid, 'EXECUTE')
        and pg_has_role(current_user, pg_proc.proowner, 'USAGE');
    if found is not null then
        raise exception 'functions: agents could call %', found
            using hint = 'Run sql/load.sql again as a superuser.';
    end if;

    select string_agg(login.name, ', ') into found
    from (values ('mcp_read'), ('mcp_write'), ('mcp_heal'), ('mcp_audit')) as login (name)
    cross join pg_language
    where
        pg_language.laninline <> 0
        and has_language_privilege(login.name, pg_language.oid, 'USAGE')
        and pg_has_role(current_user, pg_language.lanowner, 'USAGE');
    if found is not null then
        raise exception 'functions: DO could be used by: %', found
            using hint = 'Run sql/load.sql again as a superuser.';
    end if;
end
$$;
