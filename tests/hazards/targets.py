"""The target: what is in it already, and how it fails on the way."""

from tests.hazards.hazard import Hazard, Rows, Stop
from tests.hazards.known import LOGS, log

THREE = LOGS + log(1) + log(2) + log(3)
ALL: dict[str, Rows] = {"select id from logs order by id": [(1,), (2,), (3,)]}

TARGETS = (
    Hazard(
        "a target that already holds rows",
        THREE,
        stops=Stop(4, "already holds"),
        target="insert into logs (timestamp, level, source, message) values (now(), 'I', 's', 'm')",
        cure="delete from logs",
        arrives=ALL,
    ),
    Hazard(
        "a target that drifted from sql/",
        THREE,
        stops=Stop(4, "sql/"),
        target="alter table logs alter column level type integer using 0",
        cure="alter table logs alter column level type varchar",
        arrives=ALL,
    ),
    Hazard(
        "the connection is lost in the middle of COPY",
        THREE,
        stops=Stop(4, "terminat|connection|lost"),
        target="create function lose() returns trigger language plpgsql security definer as $$"
        " begin if new.id = 3 then perform pg_terminate_backend(pg_backend_pid()); end if;"
        " return new; end $$;"
        " create trigger lose before insert on logs for each row execute function lose()",
        cure="drop trigger lose on logs; drop function lose()",
        arrives=ALL,
    ),
    Hazard(
        "the target's disk is full",
        elsewhere="tests.test_migration_faults:test_full_disk_of_the_target_is_named",
    ),
    Hazard(
        "killed at any point, then run again",
        elsewhere="tests.test_deep_migration:test_killed_at_random_points_it_still_ends_verified",
    ),
)
