"""Raw statements in SQLite's dialect, as the platform and its agents write them.

Only what PostgreSQL would refuse or read otherwise is rewritten, and only where it is certain what
is meant; string literals and comments are never looked into.

- `datetime('now', '-1 day')`, `date('now')`: the time in UTC
- `golden_path = 1`: a boolean column of the platform beside 0 or 1
- `x LIKE …`: of any type, and upper and lower case alike, as in SQLite
- `IFNULL(…)`: COALESCE; `INSERT OR IGNORE`: ON CONFLICT DO NOTHING
"""

import re

#: The platform's boolean columns; SQLite kept 0 and 1 in them.
BOOLEANS = ("golden_path", "success", "is_dir")

_NAME = r'(?:"[^"]+"|[^\W\d]\w*)'
_STATEMENT = re.compile(
    rf"""
    (?P<time>\b(?:datetime|date)\s*\(\s*'now'\s*(?:,\s*'[^']*'\s*)*\))
    | (?P<kept>'(?:[^']|'')*' | --[^\n]* | /\*.*?\*/ | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<boolean>(?<![\w.])(?:{_NAME}\.)?"?\b(?:{"|".join(BOOLEANS)})\b"?\s*(?:=|!=|<>|\bis\b)\s*)
      (?P<digit>[01])(?![\w.])
    | (?P<like>(?<![\w.])(?:{_NAME}\.)?{_NAME})\s+(?P<not>not\s+)?like\b
    | (?P<ifnull>\bifnull\b)(?=\s*\()
    | (?P<ignore>\binsert\s+or\s+ignore\b)
    | "[^"]*"
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_SHIFT = re.compile(r"[+-]?\d+(?:\.\d+)?\s+(?:second|minute|hour|day|month|year)s?", re.IGNORECASE)
_START = re.compile(r"start of (day|month|year)", re.IGNORECASE)
_KEYWORDS = frozenset({"and", "or", "not", "where", "when", "on", "having", "select", "case"})


def to_postgresql(statement: str) -> str:
    """The statement in the words of PostgreSQL; itself where nothing is to do."""
    ignores = False
    # A data frame's columns may bear the same names, and hold numbers.
    of_platform = "dataset_" not in statement.lower()

    def rewritten(found: re.Match[str]) -> str:
        nonlocal ignores
        if found["time"]:
            return _time(found["time"])
        if found["boolean"] and of_platform:
            return found["boolean"] + ("true" if found["digit"] == "1" else "false")
        if found["like"] and found["like"].lower() not in _KEYWORDS:
            return f"CAST({found['like']} AS text) {found['not'] or ''}ILIKE"
        if found["ifnull"]:
            return "COALESCE"
        if found["ignore"]:
            ignores = True
            return "INSERT"
        return found[0]

    text = _STATEMENT.sub(rewritten, statement)
    return f"{text.rstrip().rstrip(';')} ON CONFLICT DO NOTHING" if ignores else text


def _time(call: str) -> str:
    moment = "(now() AT TIME ZONE 'utc')"
    for modifier in re.findall(r"'([^']*)'", call)[1:]:
        start = _START.fullmatch(modifier)
        if start:
            moment = f"date_trunc('{start[1].lower()}', {moment})"
        elif _SHIFT.fullmatch(modifier):
            moment = f"({moment} + interval '{modifier}')"
        elif modifier.lower() != "utc":
            return call
    return f"CAST({moment} AS date)" if call[:5].lower().rstrip("( ") == "date" else moment
