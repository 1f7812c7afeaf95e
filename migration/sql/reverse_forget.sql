-- Nothing of this run goes back any more.
delete from migration.reverse_change
where run_id = %(run_id)s
