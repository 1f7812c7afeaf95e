-- Whether this session is the watcher that acts.
select ops.lock_watching() as locked
