"""What the profile foresees: rows that will be quarantined, and values that policies change."""

from collections.abc import Iterable, Iterator, Sequence

from migration.convert import CONVERSIONS
from migration.facts import ColumnProfile
from migration.plan.model import ColumnPlan, Expectation, TablePlan
from migration.policies import BadText, Booleans, InvalidJson, NulText, Orphans
from migration.profile import Profile, TableProfile

_INTEGERS = ("smallint", "integer", "bigint")


def expectations(profile: Profile, tables: Sequence[TablePlan]) -> tuple[Expectation, ...]:
    """For every column and key whose values were profiled with everything."""
    found: list[Expectation] = []
    for plan in tables:
        entry = profile.table(plan.table.name)
        assert entry is not None
        for column in plan.columns:
            facts = entry.columns.get(column.source)
            if facts is not None and facts.date_forms is not None:
                found += (
                    Expectation(table=plan.target, column=column.target, rows=rows, what=what)
                    for rows, what in _of_column(column, facts)
                    if rows
                )
        found += _of_keys(plan, entry)
    return tuple(found)


def _of_column(column: ColumnPlan, facts: ColumnProfile) -> Iterator[tuple[int, str]]:
    policy, pg_type = column.policy, column.pg_type
    if column.not_null:
        yield facts.nulls, "NULL, which the target does not accept: quarantined (23502)"
    if pg_type == "bytea":
        return
    if pg_type not in CONVERSIONS or pg_type.startswith(("timestamp", "date")):
        yield facts.with_nul or 0, _says("a NUL character in text", policy.nul, NulText.QUARANTINE)
        yield (
            facts.bad_utf8 or 0,
            _says("text that is not UTF-8", policy.bad_utf8, BadText.QUARANTINE),
        )
    if pg_type == "jsonb":
        yield (
            facts.texts - (facts.json_valid or 0),
            _says("text that is no JSON", policy.invalid_json, InvalidJson.QUARANTINE),
        )
    if pg_type == "uuid":
        other = facts.texts - facts.uuids - (facts.uuids_other or 0)
        yield other + facts.integers + facts.reals, "no UUID: quarantined (22P02)"
    if pg_type in _INTEGERS:
        yield facts.reals, "a real number: quarantined unless it is whole (22P02)"
        yield facts.texts, "text: quarantined unless it is a whole number (22P02)"
    if pg_type == "double precision":
        yield facts.texts, "text: quarantined (22P02)"
    if pg_type in CONVERSIONS:
        yield facts.blobs, "a blob: quarantined (22P02)"
    if pg_type == "boolean" and (facts.smallest or 0, facts.largest or 0) not in (
        (0, 0), (0, 1), (1, 1)
    ):  # fmt: skip
        yield facts.integers, _says("numbers beyond 0 and 1", policy.booleans, Booleans.QUARANTINE)
    if pg_type.startswith("timestamp"):
        yield from _of_times(column, facts)


def _of_times(column: ColumnPlan, facts: ColumnProfile) -> Iterator[tuple[int, str]]:
    forms = facts.date_forms
    assert forms is not None
    numbers = facts.integers + facts.reals
    if numbers and column.policy.epoch is None:
        looks = {
            "s": forms.epoch_s,
            "ms": forms.epoch_ms,
            "us": forms.epoch_us,
            "julian": forms.julian,
        }
        unit, count = max(looks.items(), key=lambda pair: pair[1])
        advice = f"; {count} of them look like the policy epoch = {unit!r}" if count else ""
        yield numbers, f"a number in a column of times: quarantined (22007){advice}"
    elif numbers:
        yield numbers, f"a number, read by the policy epoch = {column.policy.epoch}"
    yield forms.zero, "the day 0000-00-00: quarantined (22007)"
    yield forms.empty, "an empty text in a column of times: quarantined (22007)"
    if "with time zone" not in column.pg_type:
        yield forms.with_offset, "a time with an offset: stored as the same moment in UTC"


def _says(what: str, policy: str, default: str) -> str:
    if policy == default:
        return f"{what}: quarantined"
    return f"{what}: changed by the policy '{policy}'"


def _of_keys(plan: TablePlan, entry: TableProfile) -> Iterable[Expectation]:
    fate = (
        "kept, without the foreign key" if plan.orphans is Orphans.KEEP else "quarantined (23503)"
    )
    for key, rows in entry.orphans.items():
        what = f"no parent for {key}: {fate}"
        yield Expectation(table=plan.target, column=None, rows=rows, what=what)
    if entry.null_keys and plan.known:
        what = "NULL in the key: quarantined (23502)"
        yield Expectation(table=plan.target, column=None, rows=entry.null_keys, what=what)
