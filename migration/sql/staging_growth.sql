-- How far the staging tables are: sizes count rows before they are committed, rows after it.
select
    c.relname,
    pg_total_relation_size(c.oid) as size_bytes,
    coalesce(s.n_tup_ins, 0) as rows
from pg_catalog.pg_class as c
left join pg_catalog.pg_stat_all_tables as s on c.oid = s.relid
where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r'
order by c.relname
