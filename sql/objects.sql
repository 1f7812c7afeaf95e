-- Everything that needs the roles to exist: the declared objects, policies and privileges, and the
-- views that compare them with what is. Included by load.sql, which then acts on the differences,
-- and by checks/drift.sql, which only looks.

\ir 20_tables.sql
\ir 25_backfills.sql
\ir 30_indexes.sql
\ir 40_foreign_keys.sql
\ir 50_functions.sql
\ir 52_way_back.sql
\ir 55_platform_tables.sql
\ir 60_policies.sql
\ir 70_privileges.sql
\ir 80_acting_functions.sql
\ir 84_quarantine.sql
\ir 85_healing.sql
\ir 86_orphans.sql
\ir 87_audit.sql
\ir 88_healing_attempts.sql
\ir 89_health.sql
\ir 90_slow_statements.sql
\ir 95_assertions.sql
\ir differences/structure.sql
\ir differences/words.sql
\ir differences/privileges.sql
\ir differences/policies.sql
\ir differences/triggers.sql
\ir differences/functions.sql
