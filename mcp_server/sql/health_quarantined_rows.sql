-- Rows that wait in quarantine, by table, column and SQLSTATE: counts alone, and no value. For those who see every
-- session, as the policy on the table says.
select
    concat_ws(' ', format('%I', table_name), format('%I', column_name), sqlstate) as about,
    jsonb_build_object(
        'table', table_name, 'column', column_name, 'sqlstate', sqlstate, 'rows', count(*),
        'taken_by_healing', count(*) filter (where run_id is null), 'since', min(created_at),
        'latest', max(created_at)
    ) as evidence,
    null as fix,
    -- What may fit by now without a change: no value that PostgreSQL cannot hold becomes one that it can.
    bool_or(run_id is null) or sqlstate in ('23503', '23505', '22001', '22003') as alone
from migration.quarantine
where replayed_at is null
group by table_name, column_name, sqlstate
order by about
