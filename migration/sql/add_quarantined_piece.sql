-- A value that occurs twice in a row, or stays as it was in a replay, is kept once.
insert into migration.quarantine_piece (quarantine_id, sha256, part, piece)
values (%(id)s, %(sha256)s, %(part)s, %(piece)s)
on conflict do nothing
