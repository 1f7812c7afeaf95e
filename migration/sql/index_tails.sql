-- What follows the table's name in the definition of each index of a table, keys' indexes included:
-- with it, the same index can be made on another table of the same columns.
select
    x.indisunique as is_unique,
    substr(
        pg_get_indexdef(x.indexrelid),
        length(concat(
            case when x.indisunique then 'CREATE UNIQUE INDEX ' else 'CREATE INDEX ' end,
            quote_ident(i.relname), ' ON ', quote_ident(n.nspname), '.', quote_ident(t.relname), ' '
        )) + 1
    ) as tail
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_class as t on x.indrelid = t.oid
inner join pg_catalog.pg_namespace as n on t.relnamespace = n.oid
where n.nspname = %(schema)s and t.relname = %(table)s
order by i.relname
