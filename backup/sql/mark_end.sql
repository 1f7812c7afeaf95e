-- A record of ours at the end of the log, on disk when this returns: its end is a position that an
-- archive can be measured by. The position of the last flush would not do: it may lie inside of a
-- record.
select
    pg_logical_emit_message(false, 'atlas-backup', 'reached', true)::text as lsn,
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline
