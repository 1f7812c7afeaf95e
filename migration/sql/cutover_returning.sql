-- No platform writes here any more. The SQLite file decides: without its block, it is the truth.
update migration.cutover
set state = 'returning'
where token = %(token)s and state = 'done'
