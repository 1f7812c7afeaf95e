-- The last record before a time: position and hash. No row: there is none.
--   %(before)s  timestamptz
select
    position,
    hash
from audit.call
where
    at < %(before)s
    -- The last one stays, for the next to follow from.
    and position < (
        select max(newest.position) from audit.call as newest
    )
order by position desc
limit 1
