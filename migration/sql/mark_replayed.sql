update migration.quarantine
set
    replayed_at = now(),
    replayed_values = %(replayed_values)s
where id = %(id)s
