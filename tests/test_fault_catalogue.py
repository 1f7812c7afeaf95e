"""The catalogue of faults is whole: at least 40 that are really injected, of every kind asked for.

Each of them is a test over a real PostgreSQL 17: the fault is brought about there, and diagnosis,
fix, verification and record are looked at; or that nothing was done, where a person has to.
"""

import importlib

import pytest

from tests.healing_faults import FAULTS
from tests.test_heal_findings_left import FINDINGS

#: What brings an error that PostgreSQL itself raised, or a drift; not what is only told in words.
INJECTED = {fault.name for fault in FAULTS if fault.inject or fault.failing}

#: Those that no table of statements can bring about: module → tests.
TESTS = {
    "test_healing_real_faults": [
        "test_a_deadlock",
        "test_a_serialization_failure",
        "test_a_transaction_that_was_aborted",
        "test_a_value_that_asyncpg_does_not_take",
        "test_a_connection_ended_by_an_administrator",
        "test_a_lock_that_is_not_given_up",
        "test_a_session_that_was_left_open",
        "test_a_backend_killed_and_a_server_that_is_starting_up",
        "test_every_slot_for_connections_taken",
        "test_a_disk_that_is_full",
        "test_transaction_numbers_that_run_out",
        "test_a_damaged_index",
        "test_an_index_that_only_amcheck_finds_to_be_false",
        "test_a_damaged_table",
    ],
    "test_heal_findings": [
        "test_statistics_then_a_key_without_an_index_then_dead_rows",
        "test_an_invalid_index_is_built_again",
        "test_an_invalid_index_that_refuses_rows_is_a_person_s",
        "test_of_two_that_are_the_same_the_one_that_is_not_declared_goes",
    ],
    "test_health_replica": ["test_a_standby_that_is_paused_and_goes_on"],
}

#: The kinds that were asked for, and where each is injected.
KINDS = {
    "dropped column": "column tasks.completed_at dropped",
    "wrong type, healed": "an integer was made smaller",
    "wrong type, a person's": "a time made a text",
    "lost index": "an index dropped",
    "revoked grant": "a right revoked",
    "disabled policy": "row-level security switched off",
    "dropped policy": "a policy dropped",
    "orphan": "an orphan",
    "orphans behind a lost key": "a foreign key dropped, and orphans written since",
    "sequence behind": "a sequence behind",
    "numbers of a sequence run out": "sequence",
    "invalid index": "an index left invalid",
    "invalid index of a failed build": "test_an_invalid_index_is_built_again",
    "duplicate index": "test_of_two_that_are_the_same_the_one_that_is_not_declared_goes",
    "bloat": "bloat",
    "dead rows, missing statistics, foreign key without index": (
        "test_statistics_then_a_key_without_an_index_then_dead_rows"
    ),
    "leaked backends": "idle_sessions",
    "idle session": "test_a_session_that_was_left_open",
    "long transaction": "long_transaction",
    "wraparound": "test_transaction_numbers_that_run_out",
    "replication lag": "test_a_standby_that_is_paused_and_goes_on",
    "deadlock": "test_a_deadlock",
    "serialization": "test_a_serialization_failure",
    "connection loss": "test_a_backend_killed_and_a_server_that_is_starting_up",
    "full connection slots": "test_every_slot_for_connections_taken",
    "disk full on a small volume": "test_a_disk_that_is_full",
    "SQLite-dialect statement": "INSERT OR REPLACE",
    "corrupted index page found by amcheck": "test_a_damaged_index",
    "index that answers wrongly, found by amcheck": (
        "test_an_index_that_only_amcheck_finds_to_be_false"
    ),
    "corrupted table": "test_a_damaged_table",
}


def names() -> list[str]:
    """Every fault, by the name that it has where it is injected."""
    return [
        *INJECTED,
        *(left.check for left in FINDINGS),
        *(name for tests in TESTS.values() for name in tests),
    ]


def test_at_least_forty_faults_are_really_injected() -> None:
    assert len(names()) == len(set(names()))
    assert len(names()) >= 40
    # Some of them healed, some left to a person, some that could not be healed: all three count.
    outcomes = {fault.outcome for fault in FAULTS if fault.name in INJECTED}
    assert outcomes == {"healed", "left_to_a_person", "failed"}
    assert sum(fault.outcome == "healed" for fault in FAULTS) >= 15


@pytest.mark.parametrize("module", TESTS)
def test_what_it_names_is_a_test(module: str) -> None:
    found = importlib.import_module(f"tests.{module}")
    assert [name for name in TESTS[module] if not callable(getattr(found, name, None))] == []


def test_every_kind_is_in_it() -> None:
    assert {kind: name for kind, name in KINDS.items() if name not in names()} == {}


def test_each_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
