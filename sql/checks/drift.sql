-- Drift: load.sql would have nothing to do, and nothing is half there.
--
-- Columns, tables and indexes beyond the declared ones are no drift: healing adds them.

\ir ../00_begin.sql
\ir ../10_roles.sql
\ir ../15_schemas.sql
\ir ../differences/foundation.sql
\ir ../objects.sql

do $$
declare
    found text;
begin
    select string_agg(difference.statement, e';\n' order by difference.step, difference.statement) into found
    from (
        table declared.foundation_difference
        union all
        table declared.structure_difference
        union all
        table declared.privilege_difference
        union all
        table declared.policy_difference
        union all
        table declared.trigger_difference
        union all
        table declared.function_difference
    ) as difference;
    if found is not null then
        raise exception e'drift: load.sql would run\n%', found using hint = 'Run sql/load.sql again.';
    end if;

    select string_agg(format('%s on %s', pg_constraint.conname, pg_constraint.conrelid::regclass), ', ')
    into found
    from pg_constraint
    where
        not pg_constraint.convalidated
        and pg_constraint.connamespace::regnamespace::text in ('public', 'app', 'migration');
    if found is not null then
        raise exception 'drift: constraints that were never validated: %', found
            using hint = 'Repair the rows, then ALTER TABLE … VALIDATE CONSTRAINT ….';
    end if;
end
$$;

rollback;
