-- Calls as JSON, the newest first.
--   %(agent)s   text, or NULL for all
--   %(since)s   timestamptz, or NULL
--   %(count)s   integer
select
    jsonb_strip_nulls(jsonb_build_object(
        'at', begun.at,
        'call_id', begun.call_id,
        'agent', begun.agent,
        'session', nullif(begun.session, ''),
        'tool', begun.tool,
        'outcome', ended.outcome,
        'sqlstate', ended.sqlstate,
        'committed', written.call_id is not null,
        'affected', coalesce(written.affected, ended.affected),
        'returned', ended.returned,
        'duration_ms', ended.duration_us / 1000.0,
        'reverts', ended.reverts,
        'statement', begun.statement
    ))::text as call
from audit.call as begun
left join audit.call as ended on begun.call_id = ended.call_id and ended.event = 'end'
left join audit.written on begun.call_id = written.call_id
where
    begun.event = 'begin'
    and (%(agent)s::text is null or begun.agent = %(agent)s)
    and (%(since)s::timestamptz is null or begun.at >= %(since)s)
order by begun.position desc
limit %(count)s
