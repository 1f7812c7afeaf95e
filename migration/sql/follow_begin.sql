-- From now on the run's source is followed; a run that was followed before is followed anew.
insert into migration.follow
(run_id, token, source_name, applied, schema_version)
values (%(run_id)s, %(token)s, %(source_name)s, %(applied)s, %(schema_version)s)
on conflict (run_id) do update
    set
        token = excluded.token,
        source_name = excluded.source_name,
        applied = excluded.applied,
        applied_at = now(),
        schema_version = excluded.schema_version
