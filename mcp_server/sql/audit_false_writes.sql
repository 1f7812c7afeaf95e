-- Where records, marks and images of writes do not fit together, in words.
with
found as (
    select
        row_image.call_id,
        count(*) as images,
        encode(sha256(string_agg(sha256(convert_to(
            jsonb_strip_nulls(to_jsonb(row_image))::text, 'UTF8'
        )), '' order by row_image.position)), 'hex') as sha256
    from audit.row_image
    group by row_image.call_id
),

-- Without those that were archived.
recorded as (
    select written.*
    from audit.written
    where exists (
        select from audit.call
        where call.call_id = written.call_id
    )
)

select
    format(
        'call %s: its images are not those that it committed', coalesce(recorded.call_id, found.call_id)
    ) as fault
from recorded
full join found on recorded.call_id = found.call_id
where
    coalesce(found.images, 0) is distinct from recorded.affected
    or coalesce(found.sha256, encode(sha256(''), 'hex')) is distinct from recorded.images_sha256

union all
select format('call %s: its record is not of what it committed', ended.call_id)
from audit.call as ended
left join recorded on ended.call_id = recorded.call_id
where
    ended.event = 'end' and ended.images_sha256 is not null and ended.outcome = 'done'
    and (ended.images_sha256, ended.affected) is distinct from (recorded.images_sha256, recorded.affected)

union all
select format('call %s: it was committed, and is not on record', written.call_id)
from audit.written
where
    not exists (
        select from audit.call
        where call.call_id = written.call_id
    )
    and written.at >= coalesce(
        (
            select call.at from audit.call
            order by call.position
            limit 1
        ),
        '-infinity'
    )
order by fault
