"""The HTML report: everything in one file, and nothing in it that a name could break."""

import base64
import hashlib
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
        "quarantine_causes": [
            {"table": "t", "column": "c", "reason": "r", "sqlstate": "22P02", "rows": 1}
        ],
        "quarantine_file": "quarantine.jsonl",
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
    assert page.count("<script") == 1, "our own"
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_page_refers_to_nothing_outside() -> None:
    page = render(report())
    assert not re.search(r"""src\s*=|url\(|https?://|@import|fetch\(|XMLHttp""", page)
    assert re.findall(r'href="([^"]*)"', page) == ["quarantine.jsonl"]


def test_source_without_tables_has_a_page() -> None:
    assert "no tables" in render(report(tables=[]))


def test_verdict_comes_first() -> None:
    body = render(report("quarantined")).split("<body>")[1]
    assert body.index("Quarantined") < body.index("1\u202f234\u202f567") < body.index("22P02")


def test_the_page_forbids_itself_everything_but_its_own_style() -> None:
    page = render(report())
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert allowed in page
    assert not re.search(r"<(img|iframe|object|embed|link|form|base)\b", page)
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
    assert page.count('<td data-label="Reason">') == 200
    assert "The first 200 of 3\u202f000 rows" in page


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


def test_every_key_form_is_shown() -> None:
    key = {"id": 1, "name": "named", "blob": {"bytes": 70000}, "none": None}
    row = {"table": "t", "key": key, "column": None, "reason": "r", "sqlstate": "22P02"}
    assert "id 1, name named, blob bytes 70000, none NULL" in render(report(quarantine=[row]))


def test_policies_are_shown_with_what_they_changed() -> None:
    policy = {"table": "t", "column": "c", "policy": "nul", "choice": "strip", "rows": 1234}
    page = render(report(policies=[policy]))
    assert "strip" in page
    assert "1\u202f234" in page.split("Policies applied")[1].split("</section>")[0]


def test_causes_come_before_rows_and_rows_know_their_cause() -> None:
    causes = [
        {"table": "t", "column": "c", "reason": "not a date", "sqlstate": "22007", "rows": 900},
        {"table": "t", "column": "c", "reason": HOSTILE, "sqlstate": "22P02", "rows": 3},
    ]
    row = {"table": "t", "key": {"id": 1}, "column": "c"}
    rows = [row | {"reason": f"not a date: '{n}'", "sqlstate": "22007"} for n in range(150)] + [
        row | {"reason": HOSTILE, "sqlstate": "22P02"}
    ] * 3
    page = render(report("quarantined", quarantine=rows, quarantine_causes=causes))
    assert page.index("not a date</bdi></button>") < page.index('id="refused"')
    assert page.count('<tr data-cause="1">') == 150
    assert page.count('<tr data-cause="2">') == 3


def test_hundreds_of_parts_that_are_not_carried_are_grouped_by_kind() -> None:
    entries = [
        {"kind": kind, "name": f"{kind} {n}", "why": "w"}
        for kind, count in (("trigger", 200), ("view", 100))
        for n in range(count)
    ]
    section = (
        render(report(not_carried=entries)).split("Not carried over")[1].split("</section>")[0]
    )
    assert re.findall(r'class="name">(\w+)</span><span class="n">(\d+)', section) == [
        ("trigger", "200"),
        ("view", "100"),
    ]
    assert '<details class="listed">' in section, "folded, since there are many"


def test_a_report_of_the_first_schema_has_a_page_still() -> None:
    document = report("quarantined", policies=["t.c, which the source lacks, has sql/'s value"])
    del document["quarantine_causes"], document["quarantine_file"]
    assert "sql/&#39;s value" in render(document)


def test_a_table_with_more_bytes_has_the_longer_bar() -> None:
    document = report()
    small = document["tables"][0] | {"target": "small", "bytes": 50_000, "seconds": 0}
    page = render({**document, "tables": [small, *document["tables"]]})
    assert page.index('style="width:100.0%"') < page.index('style="width:1.0%"')
    assert "data-zero" in page
