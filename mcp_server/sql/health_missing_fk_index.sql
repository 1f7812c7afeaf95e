-- Foreign keys of tables with some rows whose columns begin no index: each DELETE of a parent reads them all.
--   $1  text: a bigint, rows from which on it matters
select
    format('%I.%I', n.nspname, k.conname) as about,
    jsonb_build_object(
        'table', k.conrelid::regclass::text, 'columns', names.listed, 'rows', c.reltuples::bigint,
        'references', k.confrelid::regclass::text
    ) as evidence,
    format(
        'create index concurrently %I on %I.%I (%s)',
        left(format('ix_%s_%s', c.relname, names.joined), 63), n.nspname, c.relname, names.quoted
    ) as fix,
    n.nspname = 'public' and pg_has_role('mcp_heal', c.relowner, 'usage') as alone
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join
    lateral (
        select
            string_agg(format('%I', a.attname), ', ' order by key.position) as quoted,
            string_agg(a.attname, '_' order by key.position) as joined,
            jsonb_agg(a.attname order by key.position) as listed
        from unnest(k.conkey) with ordinality as key (attnum, position)
        inner join pg_attribute as a on key.attnum = a.attnum and k.conrelid = a.attrelid
    ) as names
where
    k.contype = 'f'
    and has_table_privilege(k.conrelid, 'select')
    and c.reltuples >= $1::text::bigint
    and not exists (
        select
        from pg_index as x
        where
            x.indrelid = k.conrelid
            and x.indisvalid
            and x.indpred is null
            -- The key's columns come first, in whatever order.
            and (x.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
    )
order by 1
