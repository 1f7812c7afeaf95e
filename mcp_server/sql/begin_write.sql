-- The transaction that an agent's write or schema change runs in; see begin_read.sql.
begin;
set transaction read write; -- noqa: PRS
select
    set_config('statement_timeout', {statement_timeout}, true),
    set_config('lock_timeout', {lock_timeout}, true),
    set_config('transaction_timeout', {transaction_timeout}, true),
    set_config('search_path', 'public, pg_temp', true);
