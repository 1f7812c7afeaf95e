-- All is in the target. The SQLite file decides whether it is the truth.
insert into migration.cutover (run_id, token, state)
values (%(run_id)s, %(token)s, 'prepared')
on conflict (run_id) do update
    set token = excluded.token, state = 'prepared', prepared_at = now(), done_at = null
