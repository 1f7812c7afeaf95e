select
    id,
    source_name,
    source_sha256,
    engine,
    status,
    finished_at,
    plan,
    report
from migration.run
order by id desc
limit 1
