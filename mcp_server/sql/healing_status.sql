-- How healing stands: whether it is paused, the attempts of the last hour, and when a watcher may begin another one.
--   $1  text, the watcher's agent   $2  integer, the attempts that it may begin an hour
select
    jsonb_build_object(
        'paused', ops.healing_paused(),
        'attempts', coalesce(
            (
                select jsonb_object_agg(counted.outcome, counted.attempts)
                from (
                    select
                        attempt.outcome,
                        count(*) as attempts
                    from ops.healing_attempt as attempt
                    where attempt.started_at > now() - interval '1 hour'
                    group by attempt.outcome
                ) as counted
            ),
            '{}'
        ),
        'watcher', (
            select count(*)
            from ops.healing_attempt as attempt
            where attempt.agent = $1 and attempt.started_at > now() - interval '1 hour'
        ),
        'wait_seconds', ops.seconds_until_attempt($1, $2)
    )::text as status
