insert into migration.run
(started_at, finished_at, source_name, source_sha256, engine, status, plan, report)
values (
    %(started_at)s, clock_timestamp(), %(source_name)s, %(source_sha256)s, %(engine)s, 'verified',
    %(plan)s, %(report)s
)
returning id
