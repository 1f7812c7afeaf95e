-- Tables that are much larger than their rows: estimated from the statistics, without what is stored apart (TOAST).
-- A row takes its header and pointer, its values, and what aligns it; pages are filled as the table says.
--   $1  text: a bigint, bytes that could be freed from which on it matters
--   $2  text: a double precision, the share of the table from which on it matters
select
    format('%I.%I', nspname, relname) as about,
    jsonb_build_object('bytes', size, 'estimated_bytes', estimated, 'rows', rows) as evidence,
    format('vacuum (full, analyze) %I.%I', nspname, relname) as fix
from (
    select
        n.nspname,
        c.relname,
        c.reltuples::bigint as rows,
        pg_relation_size(c.oid) as size,
        (
            c.reltuples
            * (28 + 8 + (
                select coalesce(sum(s.avg_width * (1 - s.null_frac)), 0)
                from pg_stats as s
                where s.schemaname = n.nspname and s.tablename = c.relname and not s.inherited
            ))
            * 100 / coalesce(substring(array_to_string(c.reloptions, ',') from 'fillfactor=([0-9]+)')::int, 100)
        )::bigint as estimated
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_stat_user_tables as t on c.oid = t.relid
    where
        c.relkind = 'r'
        and has_table_privilege(c.oid, 'select')
        -- Without statistics nothing is known of the rows.
        and coalesce(t.last_analyze, t.last_autoanalyze) is not null
        and c.reltuples >= 0
) as estimate
where
    size - estimated >= $1::text::bigint
    and size - estimated >= $2::text::double precision * size
order by size - estimated desc
