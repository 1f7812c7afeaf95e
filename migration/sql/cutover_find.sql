-- What is known of the cutover of a capture.
select
    run_id,
    state,
    prepared_at,
    done_at
from migration.cutover
where token = %(token)s
