-- The indexes of the loaded tables that no constraint owns.
select
    t.relname as table_name,
    i.relname as name,
    pg_get_indexdef(x.indexrelid) as definition,
    x.indisunique as is_unique,
    coalesce(array(
        select a.attname::text
        from unnest(x.indkey::int2[]) with ordinality as k (attnum, position)
        inner join pg_catalog.pg_attribute as a on x.indrelid = a.attrelid and k.attnum = a.attnum
        order by k.position
    ), '{}') as columns,
    -- What a unique index compares, where that is not columns of every row.
    case
        when x.indisunique and (x.indpred is not null or 0 = any(x.indkey::int2[])) then array(
            select pg_get_indexdef(x.indexrelid, n, false)
            from generate_series(1, x.indnkeyatts) as n
            order by n
        ) else '{}'
    end as keys,
    pg_get_expr(x.indpred, x.indrelid) as condition
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_class as t on x.indrelid = t.oid
where
    t.relnamespace = (
        select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
    )
    and t.relname = any(%(tables)s)
    and not exists (
        select from pg_catalog.pg_constraint as c where c.conindid = x.indexrelid
    )
order by t.relname, i.relname
