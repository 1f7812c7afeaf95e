-- Leaves nothing of a call to the next one on the same connection.
--
-- DISCARD ALL cannot be sent together with ROLLBACK; these are its parts, in one round trip.
-- SET SESSION AUTHORIZATION DEFAULT undoes SET ROLE, which RESET ALL does not.
rollback;
close all; -- noqa: PRS
set session authorization default;
reset all;
deallocate all;
unlisten *;
select pg_advisory_unlock_all();
discard plans;
discard temp;
discard sequences;
