-- The indexes of a schema's tables that SQLite can have as well: of plain columns and all rows.
-- Those of constraints come with their tables.
select
    r.relname as table_name,
    i.relname as name,
    x.indisunique as is_unique,
    array(
        select a.attname::text
        from unnest(x.indkey) with ordinality as k (attnum, position)
        inner join pg_catalog.pg_attribute as a on x.indrelid = a.attrelid and k.attnum = a.attnum
        where k.position <= x.indnkeyatts
        order by k.position
    ) as columns
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_class as r on x.indrelid = r.oid
inner join pg_catalog.pg_namespace as n on r.relnamespace = n.oid
inner join pg_catalog.pg_am as m on i.relam = m.oid
where
    n.nspname = %(schema)s
    and m.amname = 'btree'
    and x.indisvalid
    and x.indexprs is null
    and x.indpred is null
    and not exists (select from pg_catalog.pg_constraint as c where c.conindid = i.oid)
order by r.relname, i.relname
