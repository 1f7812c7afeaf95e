-- The transaction that an agent's write or schema change runs in; see begin_read.sql.
begin;
set transaction read write; -- noqa: PRS
set local statement_timeout = {statement_timeout};
set local lock_timeout = {lock_timeout};
set local transaction_timeout = {transaction_timeout};
set local search_path = 'public', 'pg_temp';
