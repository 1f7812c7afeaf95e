-- Stops all healing; who paused it, since when and why.
--   $1  text, the reason   $2  text, the person; null for the login alone
select ops.pause_healing($1, $2) as paused
