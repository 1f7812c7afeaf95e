-- The SQLite file has what these entries are about.
delete from migration.reverse_change
where run_id = %(run_id)s and id = any(%(ids)s)
