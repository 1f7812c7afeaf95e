-- Policies: every declared table has row-level security, forced, with the two policies of
-- 60_policies.sql and no other; what they ask cannot be forged; and no view leads around them.

create function assert_policies() returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    bound constant text[] := array[
        'public.sessions', 'public.tasks', 'public.task_steps', 'public.tool_executions', 'public.logs',
        'public.chat_history', 'public.agent_messages', 'public.recovery_attempts',
        'public.conversation_summaries', 'public.behavioral_deviations', 'public.discoveries',
        'public.kg_nodes', 'public.kg_edges', 'public.knowledge_promotions', 'public.files',
        'migration.run', 'migration.other_rows', 'migration.quarantine', 'migration.quarantine_piece'
    ];
    agents constant text[] := array['mcp_heal', 'mcp_read', 'mcp_write'];
    found text;
begin
    select string_agg(expected.name, ', ' order by expected.name) into found
    from unnest(bound) as expected (name)
    left join pg_class on pg_class.oid = to_regclass(expected.name)
    where not coalesce(pg_class.relrowsecurity and pg_class.relforcerowsecurity, false);
    if found is not null then
        raise exception 'policies: row-level security is not enabled and forced on: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    with agent_policy as (
        select
            pg_policy.polrelid::regclass::text as table_name,
            pg_policy.polpermissive as permissive,
            pg_policy.polcmd = '*' as for_all,
            pg_get_expr(pg_policy.polqual, pg_policy.polrelid) as condition,
            array(
                select pg_roles.rolname::text from pg_roles
                where pg_roles.oid = any(pg_policy.polroles)
                order by pg_roles.rolname
            ) as roles
        from pg_policy
    )

    select string_agg(expected.name, ', ' order by expected.name) into found
    from unnest(bound) as expected (name)
    where
        (
            select count(*) from agent_policy
            where agent_policy.table_name = expected.name
        ) <> 2
        or not exists (
            select from agent_policy
            where
                agent_policy.table_name = expected.name
                and not agent_policy.permissive and agent_policy.for_all
                and agent_policy.roles = agents
                and agent_policy.condition like '%FROM app.context()%'
        )
        or not exists (
            select from agent_policy
            where
                agent_policy.table_name = expected.name
                and agent_policy.permissive and agent_policy.for_all
                and agent_policy.condition = 'true'
                and agent_policy.roles @> (array['atlas', 'atlas_owner', 'migrator'] || agents)
        );
    if found is not null then
        raise exception 'policies: other than all_rows and bound_session on: %', found
            using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(pg_class.oid::regclass::text, ', ') into found
    from pg_class
    where
        pg_class.relnamespace::regnamespace::text in ('public', 'app', 'migration')
        and pg_class.relkind = 'v'
        and not coalesce(pg_class.reloptions::text[] && array['security_invoker=true', 'security_invoker=on'], false)
        and not exists (
            select from pg_depend
            where pg_depend.objid = pg_class.oid and pg_depend.deptype = 'e'
        );
    if found is not null then
        raise exception 'policies: views that show rows with their owner''s eyes: %', found
            using hint = 'ALTER VIEW … SET (security_invoker = true).';
    end if;

    -- Whoever can read the key can seal; whoever can replace the function needs no key.
    select string_agg(format('%s may %s', pg_roles.rolname, forbidden.what), ', ') into found
    from pg_roles
    cross join lateral (
        values
        (
            'read the key',
            has_table_privilege(pg_roles.oid, 'app.context_key', 'SELECT')
            or has_any_column_privilege(pg_roles.oid, 'app.context_key', 'SELECT')
        ),
        ('change the key', has_table_privilege(pg_roles.oid, 'app.context_key', 'INSERT, UPDATE, DELETE, TRUNCATE')),
        ('change what agents see', has_table_privilege(pg_roles.oid, 'app.agent', 'INSERT, UPDATE, DELETE, TRUNCATE')),
        ('create in schema app', has_schema_privilege(pg_roles.oid, 'app', 'CREATE')),
        ('act as atlas_guard', pg_has_role(pg_roles.oid, 'atlas_guard', 'MEMBER'))
    ) as forbidden (what, holds)
    where
        forbidden.holds
        and pg_roles.rolname in ('atlas_owner', 'atlas', 'migrator', 'mcp_read', 'mcp_write', 'mcp_heal');
    if found is not null then
        raise exception 'policies: contexts could be forged: %', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(expected.name, ', ') into found
    from (values ('app.context()'), ('app.set_context(text)')) as expected (name)
    left join pg_proc on pg_proc.oid = to_regprocedure(expected.name)
    where
        not coalesce(pg_proc.prosecdef, false)
        or not pg_proc.proconfig @> array['search_path=pg_catalog, pg_temp'];
    if found is not null then
        raise exception 'policies: not with its owner''s rights and a pinned path: %', found
            using hint = 'Run sql/load.sql again.';
    end if;
end
$$;
