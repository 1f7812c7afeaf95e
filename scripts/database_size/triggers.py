"""The plan's triggers for leaving SQLite, weighed on what was found. Pure: facts in, verdict out.

Verdict: `migrate` as soon as one trigger is met; `plan` when one is near; else `stay`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scripts.database_size.activity import Activity, Growth
from scripts.database_size.evidence import Evidence
from scripts.database_size.locks import LockProbe
from scripts.demo_data.size import format_size

Status = Literal["met", "near", "not met", "unknown"]
#: Where an answer comes from: measured now, recorded in the rows, told by the user, or nowhere.
Basis = Literal["measured", "recorded", "stated", "none"]
Verdict = Literal["stay", "plan", "migrate"]

LIMIT_BYTES = 10_000_000
#: The plan's "next review".
REVIEW_BYTES = 5_000_000
REVIEW_DAYS = 90
LIMIT_AGENTS = 5
#: One durable commit of SQLite takes 5 to 10 ms: at this rate the write lock is busy for a tenth
#: of the time.
LIMIT_WRITES_PER_SECOND = 10.0
LIMIT_HELD_SHARE = 0.10
NEAR_HELD_SHARE = 0.02
LIMIT_HOLD_MS = 1_000.0


@dataclass(frozen=True)
class Trigger:
    """One of the plan's triggers: whether it is met, from what that is known, and the figures."""

    name: str
    status: Status
    basis: Basis
    evidence: str


@dataclass(frozen=True)
class Stated:
    """What the user says; None where nothing was said."""

    agents: int | None = None
    analytics: bool | None = None
    high_load: bool | None = None


@dataclass(frozen=True)
class Facts:
    """Everything the triggers are weighed on. `probed`: the write lock was looked at."""

    size_bytes: int
    activity: Activity
    evidence: Evidence
    probe: LockProbe | None
    probed: bool
    stated: Stated


def projection_days(size: int, growth: Sequence[Growth]) -> float | None:
    """Days until the size limit is reached at the rate of the longest window that shows growth.

    0 where it has been reached; None where nothing grows, or the history is shorter than a day.
    """
    if size > LIMIT_BYTES:
        return 0.0
    for window in reversed(growth):
        if window.bytes_per_day > 0 and window.history_days >= 1:
            return (LIMIT_BYTES - size) / window.bytes_per_day
    return None


def weigh(facts: Facts) -> list[Trigger]:
    """The plan's triggers in its order."""
    return [
        _size(facts),
        _agents(facts),
        _analytics(facts),
        _contention(facts),
        _load(facts),
    ]


def verdict(triggers: Sequence[Trigger]) -> Verdict:
    """What the triggers say together."""
    found = {trigger.status for trigger in triggers}
    return "migrate" if "met" in found else "plan" if "near" in found else "stay"


def _size(facts: Facts) -> Trigger:
    name = f"larger than {format_size(LIMIT_BYTES)}"
    days = projection_days(facts.size_bytes, facts.activity.growth)
    text = format_size(facts.size_bytes)
    status: Status = "not met"
    if facts.size_bytes > LIMIT_BYTES:
        status = "met"
    elif days is not None:
        text += f", {format_size(LIMIT_BYTES)} in about {days:.0f} days at the recent rate"
        status = "near" if days <= REVIEW_DAYS else status
    if status == "not met" and facts.size_bytes > REVIEW_BYTES:
        status = "near"
    return Trigger(name, status, "measured", text)


def _agents(facts: Facts) -> Trigger:
    name = f"more than {LIMIT_AGENTS} agents at once"
    stated, activity = facts.stated.agents, facts.activity
    if stated is not None:
        return Trigger(name, _against(stated, LIMIT_AGENTS), "stated", f"{stated} (--agents)")
    if not activity.agents_at_once:
        return Trigger(name, "unknown", "none", "no rows name an agent; say it with --agents")
    text = (
        f"at most {activity.agents_at_once} in one minute "
        f"({activity.agents_minute}): {', '.join(activity.agents)}"
    )
    return Trigger(name, _against(activity.agents_at_once, LIMIT_AGENTS), "recorded", text)


def _against(count: int, limit: int) -> Status:
    return "met" if count > limit else "near" if count == limit else "not met"


def _analytics(facts: Facts) -> Trigger:
    name = "window functions, CTEs or JSON queries needed"
    found = facts.evidence
    if facts.stated.analytics is not None:
        option = "--analytics" if facts.stated.analytics else "--no-analytics"
        return Trigger(name, "met" if facts.stated.analytics else "not met", "stated", option)
    if found.analytic_queries:
        text = f"{found.analytic_queries} of {found.queries} recorded queries use them"
        return Trigger(name, "near", "recorded", text)
    text = (
        f"a file cannot say what will be asked of it ({found.json_columns} JSON columns, "
        f"{found.queries} recorded queries, none of this kind); say it with --analytics"
    )
    return Trigger(name, "unknown", "none", text)


def _contention(facts: Facts) -> Trigger:
    name = "lock contention seen"
    evidence, probe = facts.evidence, facts.probe
    if evidence.locked_errors:
        tables = ", ".join(evidence.locked_tables)
        text = f"'database is locked' in {evidence.locked_errors} of the newest rows of {tables}"
        return Trigger(name, "met", "recorded", text)
    if probe is None:
        why = "this file system cannot tell" if facts.probed else "not probed (--no-probe)"
        return Trigger(name, "unknown", "none", f"{why}; no 'database is locked' in recent rows")
    if not probe.holders:
        text = f"no writer in {probe.seconds:.1f} s: look again while the agents work"
        return Trigger(name, "unknown", "measured", text)
    text = (
        f"the write lock was held {probe.held_share:.1%} of {probe.seconds:.1f} s by "
        f"{probe.holders} process{'es' if probe.holders > 1 else ''}, "
        f"for {probe.longest_hold_ms:.0f} ms at most"
    )
    status: Status = "not met"
    if probe.held_share >= LIMIT_HELD_SHARE or probe.longest_hold_ms >= LIMIT_HOLD_MS:
        status = "met"
    elif probe.held_share >= NEAR_HELD_SHARE:
        status = "near"
    return Trigger(name, status, "measured", text)


def _load(facts: Facts) -> Trigger:
    name = "high-load deployment"
    activity = facts.activity
    if facts.stated.high_load is not None:
        option = "--high-load" if facts.stated.high_load else "--no-high-load"
        return Trigger(name, "met" if facts.stated.high_load else "not met", "stated", option)
    if activity.newest is None:
        return Trigger(
            name, "unknown", "none", "no rows say when they were written; say it with --high-load"
        )
    rate = activity.busiest_minute_rate
    text = (
        f"{rate:.1f} rows/s in the busiest minute ({activity.busiest_minute}), "
        f"{activity.busiest_second_rows} in the busiest second; "
        f"the limit is {LIMIT_WRITES_PER_SECOND:.0f} rows/s"
    )
    near = rate >= LIMIT_WRITES_PER_SECOND / 2
    status: Status = "met" if rate >= LIMIT_WRITES_PER_SECOND else "near" if near else "not met"
    return Trigger(name, status, "recorded", text)
