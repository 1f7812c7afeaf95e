-- The SQLite file has no block any more: it is the truth.
update migration.cutover
set state = 'returned'
where token = %(token)s and state = 'returning'
