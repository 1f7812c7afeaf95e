-- Tables that the planner knows nothing of, or of which much has changed since it looked.
--   $1  text: a bigint, rows from which on it matters
--   $2  text: a double precision, the changed share of the rows from which on it matters
select
    format('%I.%I', schemaname, relname) as about,
    jsonb_build_object(
        'changed_rows', n_mod_since_analyze, 'live_rows', n_live_tup,
        'last_analyze', greatest(last_analyze, last_autoanalyze)
    ) as evidence,
    format('analyze %I.%I', schemaname, relname) as fix,
    schemaname = 'public'
    and (select pg_has_role('mcp_heal', c.relowner, 'usage') from pg_class as c where c.oid = relid) as alone
from pg_stat_user_tables
where
    has_table_privilege(relid, 'select')
    and n_live_tup >= $1::text::bigint
    and (
        coalesce(last_analyze, last_autoanalyze) is null
        or n_mod_since_analyze > $2::text::double precision * n_live_tup
    )
order by 1
