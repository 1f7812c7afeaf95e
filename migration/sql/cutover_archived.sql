-- The SQLite file is an archive: nothing goes back any more.
update migration.cutover
set state = 'archived'
where token = %(token)s and state = 'done'
