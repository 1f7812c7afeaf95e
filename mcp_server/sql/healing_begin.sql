-- Begins an attempt at healing.
--   $1  text, JSON with columns of ops.healing_attempt
select ops.begin_attempt($1::text::jsonb)::text as begun
