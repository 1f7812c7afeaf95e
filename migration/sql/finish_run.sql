update migration.run
set
    status = %(status)s,
    finished_at = clock_timestamp(),
    report = %(report)s
where id = %(id)s
