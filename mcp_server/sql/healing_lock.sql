-- Whether this transaction is the one that heals now.
select ops.lock_healing() as locked
