-- Asserts that the database keeps the promises that load.sql makes; silent when it does.
--
--   psql -X -q -v ON_ERROR_STOP=1 -f sql/checks/run.sql
--
-- Why beside differences/: what computes a difference can be wrong about it. These files state the
-- promises once more, in other words, by what PostgreSQL itself says a role may do. drift.sql alone
-- uses the declaration. Nothing is changed: every part ends in a rollback. Run it as load.sql is run.

\set ON_ERROR_STOP on
\set QUIET on

begin;
set local transaction_read_only = on;
set local client_min_messages = 'warning';
set local search_path = 'pg_catalog';

\ir roles.sql
\ir ownership.sql
\ir privileges.sql
\ir policies.sql
\ir functions.sql
\ir healing.sql
\ir quarantine.sql
\ir audit.sql

rollback;

\ir drift.sql
