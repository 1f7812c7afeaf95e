-- Hands the sealed context in, and opens the transaction as a call. NULL where it is not accepted.
--   $1  text, from context.py
select audit.begin_write($1) as begun
