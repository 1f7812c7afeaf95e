select plan
from migration.run
where id = %(run_id)s
