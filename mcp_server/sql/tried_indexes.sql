-- Indexes that were built for a statement and dropped again, since they did not help it.
--   $1  text, SHA-256 of the statement
--   $2  text: a double precision, days for which that is believed
select definition
from ops.built_indexes()
where statement = $1 and outcome = 'dropped' and at > now() - make_interval(secs => $2::text::double precision * 86400)
