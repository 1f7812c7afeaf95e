-- A row in the platform's log of repairs, written with the rights of the agent.
--   $1  uuid, its step   $2  integer, rounds   $3  text, method   $4  boolean, success
--   $5  integer, milliseconds   $6  text, what was done   $7  text, the error
insert into recovery_attempts (
    step_id, depth, recovery_method, success, duration_ms, vibe_text, error_before, created_at
)
values ($1, $2, $3, $4, $5, $6, $7, now() at time zone 'UTC')
