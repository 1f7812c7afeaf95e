-- Policies: every table that belongs to sessions has row-level security, forced, with the two
-- policies of 60_policies.sql and no other; and no view leads around them.

do $$
declare
    bound constant text[] := array[
        'sessions', 'tasks', 'task_steps', 'tool_executions', 'logs', 'chat_history',
        'agent_messages', 'recovery_attempts', 'conversation_summaries',
        'behavioral_deviations', 'discoveries'
    ];
    agents constant text[] := array['mcp_heal', 'mcp_read', 'mcp_write'];
    found text;
begin
    select string_agg(expected.name, ', ' order by expected.name) into found
    from unnest(bound) as expected (name)
    left join pg_class
        on pg_class.relnamespace = 'public'::regnamespace and pg_class.relname = expected.name
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
            where agent_policy.table_name = 'public.' || expected.name
        ) <> 2
        or not exists (
            select from agent_policy
            where
                agent_policy.table_name = 'public.' || expected.name
                and not agent_policy.permissive and agent_policy.for_all
                and agent_policy.roles = agents
                and agent_policy.condition like '%app.session_text()%'
        )
        or not exists (
            select from agent_policy
            where
                agent_policy.table_name = 'public.' || expected.name
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
end
$$;
