"""The HTML report: everything in one file, and nothing in it that a name could break."""

import re
from typing import Any

import pytest

from migration.report.render_html import render

HOSTILE = "<script>alert('x')</script>\"&"


def report(verdict: str = "verified", **changes: Any) -> dict[str, Any]:
    column = {
        "source": HOSTILE,
        "target": HOSTILE,
        "declared": "TEXT",
        "pg_type": "text",
        "why": HOSTILE,
    }
    table = {
        "source": HOSTILE,
        "target": "t",
        "known": False,
        "rows_source": 1234567,
        "rows_loaded": 1234566,
        "rows_quarantined": 1,
        "rows_verified": 1234566,
        "bytes": 5_000_000,
        "seconds": 75.5,
        "digest_source": "00ff",
        "digest_target": "00ff",
        "verified": True,
        "columns": [column],
    }
    document: dict[str, Any] = {
        "schema_version": 1,
        "verdict": verdict,
        "command": f"migration run {HOSTILE}",
        "engine": "copy",
        "started_at": "2026-02-01T10:00:00+00:00",
        "finished_at": "2026-02-01T10:01:16+00:00",
        "seconds": 76.0,
        "phases": [{"name": "load", "seconds": 75.5}],
        "source": {
            "path": HOSTILE,
            "size_bytes": 1000,
            "sha256": "ab",
            "snapshot_path": "/s",
            "sqlite_version": "3.40.1",
            "journal_mode": "wal",
        },
        "target": {"host": "h", "port": 5432, "database": "d", "server_version": "17.11 (Debian)"},
        "versions": {"python": "3.11"},
        "tables": [table],
        "not_carried": [{"kind": "view", "name": HOSTILE, "why": "w"}],
        "quarantine": [
            {
                "table": "t",
                "key": {"id": HOSTILE},
                "column": "c",
                "reason": "r",
                "sqlstate": "22P02",
            }
        ],
        "differences": [{"table": "t", "key": "1", "column": None, "source": "a", "target": "b"}],
        "policies": [],
    }
    return document | changes


@pytest.mark.parametrize("verdict", ["verified", "quarantined", "failed"])
def test_nothing_from_the_source_becomes_markup(verdict: str) -> None:
    page = render(report(verdict))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_page_refers_to_nothing_outside() -> None:
    page = render(report())
    assert not re.search(r"""(src|href)\s*=|url\(|https?://|@import""", page)


def test_source_without_tables_has_a_page() -> None:
    assert "no tables" in render(report(tables=[]))


def test_verdict_comes_first() -> None:
    body = render(report("quarantined")).split("<body>")[1]
    assert body.index("Quarantined") < body.index("1\u202f234\u202f567") < body.index("22P02")
