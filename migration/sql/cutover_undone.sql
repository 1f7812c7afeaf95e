-- The SQLite file has no block: it has been the truth all the time.
delete from migration.cutover
where token = %(token)s and state = 'prepared'
