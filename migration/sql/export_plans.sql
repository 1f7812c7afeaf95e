-- The tables of every run into a schema, as they were declared in SQLite; the newest run first.
select entry.value as table_plan
from migration.run as r
cross join lateral jsonb_array_elements(r.plan -> 'tables') as entry (value)
where coalesce(r.plan ->> 'schema_name', 'public') = %(schema)s
order by r.id desc
