-- Refuse every write to a table.
create or replace trigger _migration_moved
before insert or update or delete or truncate on {relation}
for each statement execute function migration.refuse_change({run})
