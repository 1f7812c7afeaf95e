-- Indexes that no query has used for long, and that no constraint needs: of some size, or built by healing.
--
-- PostgreSQL's own counts may be younger than the server: they are lost in a crash, and the archiver's say when.
-- Replicas do not report theirs, so where there are any, nobody here knows.
--   $1  text: a bigint, bytes; for indexes that healing has not built
--   $2  text: a double precision, days that statistics must have been kept for, and nothing used it
--   $3  text: JSON, names of the indexes of schema public that sql/ declares
with counted as (
    select
        greatest(d.stats_reset, a.stats_reset) as since,
        now() - make_interval(secs => $2::text::double precision * 86400) as long_ago
    from pg_stat_database as d
    cross join pg_stat_archiver as a
    where d.datname = current_database() and current_setting('track_counts') = 'on'
),

built as (
    select
        i.oid,
        max(b.at) as at
    from ops.built_indexes() as b
    inner join pg_class as i on b.name = i.relname and coalesce(b.index_oid, i.oid) = i.oid
    inner join pg_index as x on i.oid = x.indexrelid
    inner join pg_class as c on x.indrelid = c.oid and b.table_name = c.relname
    where b.outcome <> 'dropped' and c.relnamespace = 'public'::regnamespace and not $3::text::jsonb ? b.name
    group by i.oid
)

select
    format('%I.%I', s.schemaname, s.indexrelname) as about,
    jsonb_build_object(
        'table', s.relid::regclass::text, 'bytes', pg_relation_size(s.indexrelid),
        'days', floor(extract(epoch from now() - greatest(counted.since, built.at, s.last_idx_scan)) / 86400),
        'built_by_healing', built.oid is not null
    ) as evidence,
    format('drop index concurrently %I.%I', s.schemaname, s.indexrelname) as fix,
    built.oid is not null and not exists (select from ops.replicas())
    and (select pg_has_role('mcp_heal', i.relowner, 'usage') from pg_class as i where i.oid = s.indexrelid) as alone
from pg_stat_user_indexes as s
inner join pg_index as x on s.indexrelid = x.indexrelid
cross join counted
left join built on s.indexrelid = built.oid
where
    has_table_privilege(s.relid, 'select')
    and not x.indisunique
    and x.indisvalid
    and not exists (select from pg_constraint as c where c.conindid = x.indexrelid)
    and counted.since < counted.long_ago
    and (
        built.oid is null and s.idx_scan = 0 and pg_relation_size(s.indexrelid) >= $1::text::bigint
        or greatest(built.at, s.last_idx_scan) < counted.long_ago and built.oid is not null
    )
order by about
