"""Positions, segments and timelines are what PostgreSQL says they are."""

import random
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.repository import Backup
from backup.target import Kind, Target, choose_backups, make_target
from backup.wal import (
    Segment,
    Timeline,
    format_lsn,
    parse_history,
    parse_lsn,
    parse_segment,
    segment_number,
)
from database.errors import BackupError
from database.settings import Server
from tests.programs import query


@given(st.integers(0, 2**63))
def test_positions_are_read_as_they_are_written(position: int) -> None:
    assert parse_lsn(format_lsn(position)) == position


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**39))
def test_segments_are_read_as_they_are_written(timeline: int, number: int) -> None:
    segment = Segment(timeline, number)
    assert parse_segment(segment.name) == segment
    assert parse_segment(f"{segment.name}.partial") == Segment(timeline, number, partial=True)


def test_names_are_postgresqls(cluster: Server) -> None:
    generator = random.Random(17)
    # Not at a border, of which PostgreSQL says the segment before.
    positions = [generator.randrange(2**50) | 1 for _ in range(200)]
    rows = query(
        cluster,
        "select pg_walfile_name(lsn::pg_lsn) from unnest(%s::text[]) with ordinality as l(lsn, n)"
        " order by n",
        [format_lsn(position) for position in positions],
    )
    timeline = int(str(rows[0][0])[:8], 16)
    ours = [Segment(timeline, segment_number(position)).name for position in positions]
    assert ours == [name for (name,) in rows]


def test_other_files_are_no_segments() -> None:
    for name in ("backup_label", "00000002.history", "archive_status", "0" * 23, "0" * 24 + ".tmp"):
        assert parse_segment(name) is None


def test_history_says_where_timelines_were_left() -> None:
    text = "1\t0/5000118\tbefore 2000-01-01 00:00:00+00\n\n2\t0/9000000\tno recovery target\n"
    timeline = parse_history("00000003.history", text)
    assert timeline == Timeline(3, ((1, 0x5000118), (2, 0x9000000)))
    assert timeline.holds(1, 0x5000118)
    assert not timeline.holds(1, 0x5000119)
    assert timeline.holds(2, 0x6000000)
    assert timeline.holds(3, 0xFFFFFFFF)
    assert not timeline.holds(4, 0)
    assert parse_history("000000010000000000000001", text) is None


def test_times_without_a_zone_are_utc() -> None:
    assert make_target(time="2026-03-01T12:00:00").value == "2026-03-01T12:00:00+00:00"
    assert make_target(time="2026-03-01T12:00:00+02:00").value == "2026-03-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("xid", "fits"), [("99", False), ("100", False), ("103", True), ("104", False), ("110", True)]
)
def test_transaction_that_was_over_before_the_backup_is_no_target(xid: str, fits: bool) -> None:
    now = datetime.now(UTC)
    backup = Backup(
        id="b",
        server="s",
        version="17",
        database="d",
        started_at=now,
        finished_at=now,
        bytes=1,
        timeline=1,
        start_lsn="0/1",
        stop_lsn="0/2",
        # From 100 on there were some that ran, of which 103 and 105 were not over.
        snapshot="100:110:103,105",
    )
    expected = nullcontext() if fits else pytest.raises(BackupError, match="No backup is from")
    with expected:
        assert choose_backups(Target(Kind.XID, xid), Timeline(1), [backup]) == [backup]
