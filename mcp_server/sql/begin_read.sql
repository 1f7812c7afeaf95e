-- The transaction that an agent's query runs in.
--
-- The select takes the snapshot, after which SET TRANSACTION READ WRITE is an error. SET rather than
-- set_config, which the mcp_* logins may not call. transaction_timeout ends a transaction whose
-- client has died silently.
begin;
set transaction read only; -- noqa: PRS
set local statement_timeout = {statement_timeout};
set local lock_timeout = {lock_timeout};
set local transaction_timeout = {transaction_timeout};
set local search_path = 'public', 'pg_temp';
select 1;
