-- Calls whose end is not on record, and whether what they wrote was committed.
select
    begun.call_id,
    case when written.call_id is null then 'not_committed' else 'committed' end as state
from audit.call as begun
left join audit.written on begun.call_id = written.call_id
where
    begun.event = 'begin'
    and not exists (
        select from audit.call as ended
        where ended.call_id = begun.call_id and ended.event = 'end'
    )
order by begun.position
