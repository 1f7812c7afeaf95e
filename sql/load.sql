-- Brings the database that psql is connected to to the state that this folder declares.
--
--   psql -X -q -v ON_ERROR_STOP=1 -f sql/load.sql
--
-- Why in this way: a schema that is only ever *created* drifts. Here the numbered files say, in
-- plain CREATE statements and tables of data, what shall be; they are run in scratch schemas
-- (declared, declared_*) that nobody else ever sees. The views of differences/ compare that with
-- what is and yield statements; \gexec runs them. Nothing different, nothing run: no lock, no
-- changed catalogue row, no output. All of it is one transaction: an error leaves what was.
--
-- Structure (tables, columns, constraints, indexes) is added and widened, never taken away.
-- Security (roles, privileges, policies, owners) ends exactly as declared, for the roles named
-- in 10_roles.sql and for PUBLIC. Passwords are set elsewhere, never in SQL text.
--
-- Run it as a superuser, or as a managed PostgreSQL's administrator: one who owns the database
-- and has CREATEROLE.

\set ON_ERROR_STOP on
\set QUIET on

\ir 00_begin.sql

-- Roles and schemas first: what follows names them.
\ir 10_roles.sql
\ir 15_schemas.sql
\ir differences/foundation.sql
select statement from declared.foundation_difference
order by step, statement \gexec

-- Then what lies in the schemas, who owns it, who may do what, and which rows are whose. A later
-- view sees what the statements of an earlier one did.
\ir objects.sql
select statement from declared.structure_difference
order by step, statement \gexec
select statement from declared.privilege_difference
order by step, statement \gexec
select statement from declared.policy_difference
order by step, statement \gexec
select statement from declared.trigger_difference
order by step, statement \gexec
select statement from declared.function_difference
order by step, statement \gexec

\ir 99_end.sql
