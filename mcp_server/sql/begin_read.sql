-- The transaction that an agent's query runs in.
--
-- The select is not only for the settings: it takes the snapshot, after which SET TRANSACTION
-- READ WRITE is an error. set_config(…, true) rather than SET: one statement, gone at the end of
-- the transaction. transaction_timeout ends a transaction whose client has died silently.
begin;
set transaction read only; -- noqa: PRS
select
    set_config('statement_timeout', {statement_timeout}, true),
    set_config('lock_timeout', {lock_timeout}, true),
    set_config('transaction_timeout', {transaction_timeout}, true),
    set_config('search_path', 'public, pg_temp', true);
