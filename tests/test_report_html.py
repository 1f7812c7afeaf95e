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


def test_the_page_forbids_itself_everything_but_its_own_style() -> None:
    page = render(report())
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not re.search(r"<(script|img|iframe|object|embed|link|form|base)\b", page)
    assert not re.search(r"\son\w+\s*=", page)


def test_names_cannot_turn_the_page_around() -> None:
    name = "safe\u202eexe.\x00\x1b[31m\ud800\u2028"
    page = render(report(not_carried=[{"kind": "view", "name": name, "why": "w"}]))
    assert "safe\\u202eexe.\\x00\\x1b[31m\\ud800\\u2028" in page
    page.encode("utf-8")


def test_joined_emoji_and_ukrainian_stay_as_they_are() -> None:
    name = "їжак 👨\u200d👩\u200d👧 ґанок"
    assert name in render(report(not_carried=[{"kind": "view", "name": name, "why": "w"}]))


def test_page_of_an_unpaired_surrogate_anywhere_can_be_written() -> None:
    document = report(command="run \ud800", versions={"x\udcff": "1"}, engine="\udfff")
    render(document).encode("utf-8")


def test_long_values_and_long_lists_are_cut_and_said_to_be() -> None:
    row = {"table": "t", "key": {"id": 1}, "column": "c", "reason": "r" * 5000, "sqlstate": "22P02"}
    document = report("quarantined", quarantine=[row] * 200)
    document["tables"][0]["rows_quarantined"] = 3000
    page = render(document)
    assert "r" * 401 not in page
    assert page.count("22P02") == 50
    assert "The first 50 of 3\u202f000" in page


def test_a_failed_run_never_reads_as_if_rows_had_arrived() -> None:
    document = report("failed", differences=[])
    table = document["tables"][0]
    table |= {"verified": False, "rows_verified": 0, "digest_source": None, "digest_target": None}
    page = render(document)
    assert "The target was not changed" in page
    assert "nothing is missing" not in page
    assert "✓ verified" not in page
    assert "1 row cannot be carried over" in page


def test_rows_that_do_not_add_up_are_shown() -> None:
    document = report()
    document["tables"][0]["rows_loaded"] -= 7
    page = render(document)
    assert "7 unaccounted for" in page
    assert "nothing is missing" not in page


def test_every_policy_and_key_form_is_shown() -> None:
    page = render(report(policies=["plain", {"name": "named", "why": None}, ["a", "b"]]))
    for text in ("plain", "name named, why NULL", "a, b"):
        assert text in page


def test_a_table_with_more_bytes_has_the_longer_bar() -> None:
    document = report()
    small = document["tables"][0] | {"target": "small", "bytes": 50_000, "seconds": 0}
    page = render({**document, "tables": [small, *document["tables"]]})
    assert page.index('style="width:100.0%"') < page.index('style="width:1.0%"')
    assert "data-zero" in page
