-- Whether this session is the one that heals now; it stays so until reset.sql.
select ops.lock_healing_session() as locked
