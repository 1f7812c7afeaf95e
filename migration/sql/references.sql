-- Foreign keys of other tables, in any schema, that point at the tables to be loaded.
select
    s.nspname as schema_name,
    r.relname as table_name,
    has_schema_privilege(s.oid, 'usage') and has_table_privilege(r.oid, 'select') as is_readable,
    array(
        select a.attname::text
        from unnest(c.conkey) with ordinality as k (attnum, position)
        inner join pg_catalog.pg_attribute as a on c.conrelid = a.attrelid and k.attnum = a.attnum
        order by k.position
    ) as columns
from pg_catalog.pg_constraint as c
inner join pg_catalog.pg_class as r on c.conrelid = r.oid
inner join pg_catalog.pg_namespace as s on r.relnamespace = s.oid
inner join pg_catalog.pg_class as p on c.confrelid = p.oid
inner join pg_catalog.pg_namespace as n on p.relnamespace = n.oid
where
    c.contype = 'f'
    and n.nspname = %(schema)s
    and p.relname = any(%(tables)s)
    and not (r.relnamespace = p.relnamespace and r.relname = any(%(tables)s))
order by s.nspname, r.relname
