-- Removes the images of calls that have no record any more.
delete from audit.row_image
where
    not exists (
        select from audit.call
        where call.call_id = row_image.call_id
    )
