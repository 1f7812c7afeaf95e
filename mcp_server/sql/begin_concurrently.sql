-- What CREATE and DROP INDEX CONCURRENTLY run under: no transaction, so settings of the session,
-- which reset.sql takes back.
select
    set_config('statement_timeout', {statement_timeout}, false),
    set_config('lock_timeout', {lock_timeout}, false),
    set_config('search_path', 'public, pg_temp', false);
