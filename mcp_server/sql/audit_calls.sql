-- Calls, the newest first.
--   %(agent)s   text, or NULL for all
--   %(since)s   timestamptz, or NULL
--   %(limit)s   integer
select
    begun.at,
    begun.call_id,
    begun.agent,
    begun.session,
    begun.tool,
    coalesce(ended.outcome, case when written.call_id is null then 'open' else 'committed' end) as outcome,
    ended.sqlstate,
    coalesce(written.affected, ended.affected) as affected,
    ended.returned,
    ended.duration_us,
    begun.statement
from audit.call as begun
left join audit.call as ended on begun.call_id = ended.call_id and ended.event = 'end'
left join audit.written on begun.call_id = written.call_id
where
    begun.event = 'begin'
    and (%(agent)s::text is null or begun.agent = %(agent)s)
    and (%(since)s::timestamptz is null or begun.at >= %(since)s)
order by begun.position desc
limit %(limit)s
