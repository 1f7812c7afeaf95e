-- A way back of this file that was cut off after PostgreSQL's part of it.
select
    c.run_id,
    c.token
from migration.cutover as c
inner join migration.follow as f on c.run_id = f.run_id
where c.state = 'returning' and f.source_name = %(source_name)s
