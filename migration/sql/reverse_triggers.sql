-- The triggers of the way back: those that log the changes of a run, or those that refuse changes.
select
    n.nspname as schema_name,
    c.relname as table_name,
    t.tgname as trigger_name
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    t.tgfoid = %(function)s::text::regprocedure
    and t.tgparentid = 0
    and (
        %(run_id)s::bigint is null
        or convert_from(split_part(encode(t.tgargs, 'escape'), '\000', 1)::bytea, 'UTF8') = %(run_id)s::text
    )
order by 1, 2, 3
