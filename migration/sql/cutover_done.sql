-- The SQLite file has its block: this side is the truth.
update migration.cutover
set state = 'done', done_at = clock_timestamp()
where token = %(token)s and state = 'prepared'
