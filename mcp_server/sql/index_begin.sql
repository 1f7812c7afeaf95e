-- Records an index that healing is about to build.
--   $1  text, JSON with columns of ops.built_index
select ops.begin_index($1::text::jsonb) as begun
