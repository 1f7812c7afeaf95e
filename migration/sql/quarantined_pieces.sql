-- A long value of a quarantined row, in order.
select piece
from migration.quarantine_piece
where quarantine_id = %(id)s and sha256 = %(sha256)s
order by part
