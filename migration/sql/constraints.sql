-- The constraints of the loaded tables, and foreign keys of others (in any schema) that point at them:
-- rows are loaded without any of them, and each is put back from its own definition.
select
    rn.nspname as schema_name,
    r.relname as table_name,
    c.conname as name,
    c.contype::text as kind,
    pg_get_constraintdef(c.oid) as definition,
    coalesce(array(
        select a.attname::text
        from unnest(c.conkey) with ordinality as k (attnum, position)
        inner join pg_catalog.pg_attribute as a on c.conrelid = a.attrelid and k.attnum = a.attnum
        order by k.position
    ), '{}') as columns,
    p.relname as parent,
    coalesce(array(
        select a.attname::text
        from unnest(c.confkey) with ordinality as k (attnum, position)
        inner join pg_catalog.pg_attribute as a on c.confrelid = a.attrelid and k.attnum = a.attnum
        order by k.position
    ), '{}') as parent_columns,
    pg_get_expr(c.conbin, c.conrelid) as expression
from pg_catalog.pg_constraint as c
inner join pg_catalog.pg_class as r on c.conrelid = r.oid
inner join pg_catalog.pg_namespace as rn on r.relnamespace = rn.oid
left join pg_catalog.pg_class as p on c.confrelid = p.oid
left join pg_catalog.pg_namespace as pn on p.relnamespace = pn.oid
where
    c.contype in ('p', 'u', 'f', 'c', 'x')
    and (
        (rn.nspname = %(schema)s and r.relname = any(%(tables)s))
        or (c.contype = 'f' and pn.nspname = %(schema)s and p.relname = any(%(tables)s))
    )
order by rn.nspname, r.relname, c.conname
