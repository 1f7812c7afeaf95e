-- Tables with many dead rows, which every scan reads: autovacuum is behind, or is kept from its work.
--   $1  text: a bigint, dead rows from which on it matters
--   $2  text: a double precision, the share of all rows from which on it matters
select
    format('%I.%I', schemaname, relname) as about,
    jsonb_build_object(
        'dead_rows', n_dead_tup, 'live_rows', n_live_tup, 'last_autovacuum', last_autovacuum, 'last_vacuum', last_vacuum
    ) as evidence,
    format('vacuum (analyze) %I.%I', schemaname, relname) as fix,
    schemaname = 'public'
    and (select pg_has_role('mcp_heal', c.relowner, 'usage') from pg_class as c where c.oid = relid) as alone
from pg_stat_user_tables
where has_table_privilege(relid, 'select') and n_dead_tup >= $1::text::bigint and n_dead_tup > $2::text::double precision * (n_live_tup + n_dead_tup)
order by 1
