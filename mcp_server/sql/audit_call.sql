-- Everything about one call, as one JSON object. No row: there is none.
--   %(call_id)s  uuid
select
    jsonb_build_object(
        'begin', (
            select jsonb_strip_nulls(to_jsonb(call)) from audit.call
            where call.call_id = %(call_id)s and call.event = 'begin'
        ),
        'end', (
            select jsonb_strip_nulls(to_jsonb(call)) from audit.call
            where call.call_id = %(call_id)s and call.event = 'end'
        ),
        'written', (
            select jsonb_strip_nulls(to_jsonb(written) - 'result') from audit.written
            where written.call_id = %(call_id)s
        ),
        'images', (
            select
                coalesce(
                    jsonb_agg(
                        jsonb_strip_nulls(to_jsonb(row_image) - 'call_id') order by row_image.position
                    ), '[]'
                )
            from audit.row_image
            where row_image.call_id = %(call_id)s
        )
    ) as call
where exists (
    select from audit.call
    where call.call_id = %(call_id)s
)
