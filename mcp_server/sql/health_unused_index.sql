-- Indexes of some size that no query has used for as long as is known, and that no constraint needs.
--   $1  text: a bigint, bytes from which on it matters
--   $2  text: a double precision, days that statistics must have been kept for
select
    format('%I.%I', s.schemaname, s.indexrelname) as about,
    jsonb_build_object(
        'table', s.relid::regclass::text, 'bytes', pg_relation_size(s.indexrelid),
        'days', round(extract(epoch from now() - d.stats_reset) / 86400)
    ) as evidence,
    format('drop index concurrently %I.%I', s.schemaname, s.indexrelname) as fix
from pg_stat_user_indexes as s
inner join pg_index as x on s.indexrelid = x.indexrelid
inner join pg_stat_database as d on d.datname = current_database()
where
    has_table_privilege(s.relid, 'select')
    and s.idx_scan = 0
    and not x.indisunique
    and x.indisvalid
    and not exists (select from pg_constraint as c where c.conindid = x.indexrelid)
    and pg_relation_size(s.indexrelid) >= $1::text::bigint
    and d.stats_reset < now() - make_interval(secs => $2::text::double precision * 86400)
order by 1
