-- Who paused healing, since when and why; null where it is not paused.
select ops.healing_paused() as paused
