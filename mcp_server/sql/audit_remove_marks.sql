-- Removes the marks of calls that have no record any more. One with an idempotency key stays: the key is
-- never to write twice.
delete from audit.written
where
    written.idempotency_key is null
    and not exists (
        select from audit.call
        where call.call_id = written.call_id
    )
