-- Tries rows of the quarantine as they are: which are back (refused is NULL), and what refuses the others.
--   $1  text, their table
--   $2  text or NULL, the column that they were refused for
--   $3  text or NULL, the SQLSTATE
--   $4  bigint, the most rows that are tried
select
    entry,
    refused
from ops.replay_fitting($1::text, $2::text, $3::text, $4::bigint)
