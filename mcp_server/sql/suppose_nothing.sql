-- Ends what suppose_index.sql began.
select ops.suppose_nothing() as ended
