-- Whether much of what is read comes from outside the buffer cache.
--   $1  text: a bigint, blocks that have been asked for at least
--   $2  text: a double precision, the share found in the cache below which it matters
select
    datname as about,
    jsonb_build_object('hit', round((blks_hit::numeric / (blks_hit + blks_read)), 4), 'read_blocks', blks_read) as evidence,
    null as fix
from pg_stat_database
where
    datname = current_database()
    and blks_hit + blks_read >= $1::text::bigint
    and blks_hit < $2::text::double precision * (blks_hit + blks_read)
