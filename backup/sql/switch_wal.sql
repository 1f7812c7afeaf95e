-- End the segment that is being written, so that it is archived; its name and where it ends.
select
    lsn::text as lsn,
    pg_walfile_name(lsn) as segment
from pg_switch_wal() as switched (lsn)
