-- Hands the sealed context in; whether PostgreSQL accepts it.
--   $1  text, from context.py
select app.set_context($1) as accepted
