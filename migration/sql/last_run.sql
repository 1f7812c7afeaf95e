select
    id,
    source_name,
    source_sha256,
    engine,
    status,
    finished_at,
    plan,
    report,
    coalesce(plan ->> 'schema_name', 'public') as schema_name
from migration.run
where
    %(schema)s::text is null
    or coalesce(plan ->> 'schema_name', 'public') = %(schema)s
order by id desc
limit 1
