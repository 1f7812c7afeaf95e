-- How far the target is with the source of a capture.
select
    f.run_id,
    f.token,
    f.source_name,
    f.applied,
    f.applied_at,
    f.schema_version,
    r.plan
from migration.follow as f
inner join migration.run as r on f.run_id = r.id
where f.token = %(token)s
order by f.run_id desc
limit 1
