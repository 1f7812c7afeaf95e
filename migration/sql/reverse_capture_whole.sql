-- From now on, log that a table was changed whose rows have no key.
create trigger _migration_reverse
after insert or update or delete or truncate on {relation}
for each statement execute function migration.note_change({arguments})
