-- Records what became of it.
--   $1  uuid, its id
--   $2  text: kept, or dropped
select ops.end_index($1, $2) as ended
