-- How many sessions pgloader has; everybody sees their names.
select count(*) as sessions
from pg_catalog.pg_stat_activity
where datname = pg_catalog.current_database() and application_name = %(application)s
