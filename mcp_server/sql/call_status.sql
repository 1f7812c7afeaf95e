-- What became of a call. NULL: there is none.
--   $1  uuid
select audit.status($1) as status
