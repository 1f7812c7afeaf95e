-- What is archived, as lines of JSON: the records up to a position, and the images of their calls.
--   %(position)s  bigint
select
    jsonb_build_object(
        'position', call.position,
        'content', jsonb_strip_nulls(to_jsonb(call) - array['previous', 'hash'])::text,
        'previous', encode(call.previous, 'hex'),
        'hash', encode(call.hash, 'hex'),
        'images', (
            select jsonb_agg(to_jsonb(row_image) order by row_image.position)
            from audit.row_image
            where row_image.call_id = call.call_id and call.event = 'begin'
        )
    )::text as line
from audit.call
where call.position <= %(position)s
order by call.position
