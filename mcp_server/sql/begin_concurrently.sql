-- What CREATE and DROP INDEX CONCURRENTLY run under: no transaction, so settings of the session,
-- which reset.sql takes back.
set statement_timeout = {statement_timeout};
set lock_timeout = {lock_timeout};
set search_path = 'public', 'pg_temp';
