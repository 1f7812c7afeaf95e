-- Indexes that a failed build left behind: they cost every write and serve no query.
-- A unique one still refuses rows, so it is not dropped to be built again; nor is one whose table somebody holds as
-- a build does.
with held as (
    select distinct l.relation
    from pg_locks as l
    inner join pg_database as d on l.database = d.oid
    where
        l.locktype = 'relation' and l.mode = 'ShareUpdateExclusiveLock' and l.granted
        and d.datname = current_database() and l.pid <> pg_backend_pid()
)

select
    format('%I.%I', n.nspname, i.relname) as about,
    jsonb_build_object(
        'table', x.indrelid::regclass::text, 'bytes', pg_relation_size(x.indexrelid),
        'unique', x.indisunique, 'held', held.relation is not null, 'definition', pg_get_indexdef(x.indexrelid)
    ) as evidence,
    format('reindex index concurrently %I.%I', n.nspname, i.relname) as fix,
    n.nspname = 'public' and not x.indisunique and held.relation is null
    and pg_has_role('mcp_heal', i.relowner, 'usage') as alone
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_namespace as n on i.relnamespace = n.oid
left join held on x.indrelid = held.relation
where not x.indisvalid and i.relkind = 'i' and n.nspname not in ('pg_catalog', 'pg_toast')
order by 1
