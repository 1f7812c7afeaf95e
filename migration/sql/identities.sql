-- The sequences that number the rows of the loaded tables: of identity columns and of serials.
select
    c.relname as table_name,
    a.attname as column_name,
    sn.nspname as sequence_schema,
    sc.relname as sequence_name,
    s.seqmin as lowest,
    s.seqmax as highest,
    coalesce(pg_sequence_last_value(s.seqrelid), 0) as position
from pg_catalog.pg_sequence as s
inner join pg_catalog.pg_class as sc on s.seqrelid = sc.oid
inner join pg_catalog.pg_namespace as sn on sc.relnamespace = sn.oid
inner join pg_catalog.pg_depend as d
    on
        d.classid = 'pg_class'::regclass
        and d.objid = s.seqrelid
        and d.refclassid = 'pg_class'::regclass
        and d.deptype in ('a', 'i')
inner join pg_catalog.pg_class as c on d.refobjid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and d.refobjsubid = a.attnum
where
    n.nspname = %(schema)s
    and c.relname = any(%(tables)s)
    and s.seqincrement > 0
order by c.relname, a.attname
