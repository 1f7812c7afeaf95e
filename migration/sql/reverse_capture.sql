-- From now on, log the keys of the rows of a table that are changed.
create trigger _migration_reverse
after insert or update or delete on {relation}
for each row execute function migration.note_change({arguments});
create trigger _migration_reverse_truncate
after truncate on {relation}
for each statement execute function migration.note_change({arguments})
