-- These rows are what the source has no longer, or what is judged anew; their pieces go with them.
delete from migration.quarantine
where run_id = %(run_id)s and id = any(%(ids)s)
