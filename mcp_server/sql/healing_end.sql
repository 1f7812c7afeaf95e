-- Ends an attempt at healing.
--   $1  uuid, its id
--   $2  text, JSON with its outcome, report and duration_ms
select ops.end_attempt($1, $2::text::jsonb) as ended
