-- Triggers of the declared tables and the event triggers, compared with what is, as statements.
--
-- A trigger beyond the declared ones stays: it is the site's. An event trigger can be made, and even
-- seen to be missing, by a superuser alone.

create view declared.trigger_difference as
with
declared_trigger as (
    select
        relation.qualified,
        relation.actual_oid,
        pg_trigger.tgname as name,
        replace(pg_get_triggerdef(pg_trigger.oid), 'declared_', '') as definition
    from declared.relation_pair as relation
    inner join pg_trigger on pg_trigger.tgrelid = relation.declared_oid and not pg_trigger.tgisinternal
),

trigger_pair as (
    select
        declared_trigger.*,
        pg_get_triggerdef(pg_trigger.oid) as actual_definition,
        pg_trigger.tgenabled as enabled
    from declared_trigger
    left join pg_trigger
        on pg_trigger.tgrelid = declared_trigger.actual_oid and pg_trigger.tgname = declared_trigger.name
),

-- The triggers of every table of public, where it is not declared with them.
common_pair as (
    select
        format('%I.%I', pg_namespace.nspname, pg_class.relname) as qualified,
        pattern.tgname as name,
        replace(
            replace(
                pg_get_triggerdef(pattern.oid), ' ON declared.common ',
                format(' ON %I.%I ', pg_namespace.nspname, pg_class.relname)
            ),
            'declared_', ''
        ) as definition,
        pg_get_triggerdef(actual.oid) as actual_definition,
        actual.tgenabled as enabled
    from pg_class
    inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
    inner join pg_trigger as pattern on pattern.tgrelid = 'declared.common'::regclass
    left join pg_trigger as actual
        on actual.tgrelid = pg_class.oid and actual.tgname = pattern.tgname
    where
        pg_namespace.nspname = 'public' and pg_class.relkind in ('r', 'p') and not pg_class.relispartition
        and not exists (
            select from declared_trigger
            where declared_trigger.actual_oid = pg_class.oid and declared_trigger.name = pattern.tgname
        )
        -- What an extension brought is the extension's.
        and not exists (
            select
            from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid
                and pg_depend.deptype = 'e'
        )
),

every_pair as (
    select
        qualified,
        name,
        definition,
        actual_definition,
        enabled
    from trigger_pair
    union all
    select
        qualified,
        name,
        definition,
        actual_definition,
        enabled
    from common_pair
),

event_pair as (
    select
        event_trigger.*,
        pg_event_trigger.oid as actual_oid,
        pg_event_trigger.evtenabled as enabled,
        pg_event_trigger.evtevent = event_trigger.event
        and pg_event_trigger.evtfoid = to_regproc(event_trigger.function_name)
        and pg_event_trigger.evttags is null as is_same
    from declared.event_trigger
    left join pg_event_trigger on pg_event_trigger.evtname = event_trigger.name
    where
        (
            select pg_roles.rolsuper from pg_roles
            where pg_roles.rolname = current_user
        )
)

select
    85 as step,
    format('drop trigger %I on %s', name, qualified) as statement
from every_pair
where actual_definition <> definition

union all
select
    86,
    definition
from every_pair
where actual_definition is distinct from definition

union all
select
    87,
    format('alter table %s enable trigger %I', qualified, name)
from every_pair
where actual_definition = definition and enabled <> 'O'

union all
select
    85,
    format('drop event trigger %I', name)
from event_pair
where not is_same

union all
select
    86,
    format('create event trigger %I on %s execute function %s()', name, event, function_name)
from event_pair
where actual_oid is null or not is_same

union all
select
    87,
    format('alter event trigger %I enable', name)
from event_pair
where is_same and enabled <> 'O';
