-- Lets healing go on; who had paused it, null for nobody.
--   $1  text, the person; null for the login alone
select ops.resume_healing($1) as paused
