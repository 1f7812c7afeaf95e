-- Whether a relation of schema public is the session's own; no row where there is none.
--   $1  text, its name
select pg_get_userbyid(relowner) = current_user as owned
from pg_class
where oid = to_regclass(format('public.%I', $1::text))
