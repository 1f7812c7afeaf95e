-- The tables that the target has, with what a plan needs to know of their columns.
select
    c.relname as table_name,
    a.attname as column_name,
    format_type(a.atttypid, null) as pg_type,
    a.attnotnull as not_null,
    a.atthasdef or a.attidentity <> '' as has_default,
    a.attgenerated <> '' as generated,
    coalesce(a.attnum = any(k.conkey), false) as in_key,
    case when a.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 0 then a.atttypmod - 4 end as length
from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
left join pg_catalog.pg_constraint as k on c.oid = k.conrelid and k.contype = 'p'
where
    c.relnamespace = (
        select n.oid from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
    )
    and c.relkind in ('r', 'p')
    and a.attnum > 0
    and not a.attisdropped
order by c.relname, a.attnum
