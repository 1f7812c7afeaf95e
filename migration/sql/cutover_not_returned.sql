-- The SQLite file kept its block: this side has been the truth all the time.
update migration.cutover
set state = 'done'
where token = %(token)s and state = 'returning'
