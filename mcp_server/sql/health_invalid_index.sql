-- Indexes that a failed build left behind: they cost every write and serve no query.
select
    format('%I.%I', n.nspname, i.relname) as about,
    jsonb_build_object('table', x.indrelid::regclass::text, 'bytes', pg_relation_size(x.indexrelid)) as evidence,
    format('reindex index concurrently %I.%I', n.nspname, i.relname) as fix
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_namespace as n on i.relnamespace = n.oid
where not x.indisvalid and i.relkind = 'i' and n.nspname not in ('pg_catalog', 'pg_toast')
order by 1
