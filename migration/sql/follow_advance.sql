-- The target has everything up to an entry. Only from where it was: another program may have been here.
update migration.follow
set
    applied = %(upto)s,
    applied_at = clock_timestamp(),
    schema_version = %(schema_version)s
where run_id = %(run_id)s and token = %(token)s and applied = %(applied)s
returning applied
