"""A translated expression means in PostgreSQL what it meant in SQLite, or is refused."""

from collections.abc import Iterator

import pytest

from database.settings import Server
from migration.translate import Scope, ScopeColumn, UntranslatableError, expression
from tests.both_engines import SCOPE, BothEngines, both_engines


@pytest.fixture(scope="module")
def both(cluster: Server) -> Iterator[BothEngines]:
    with both_engines(cluster) as engines:
        yield engines


SAME = """
n | N | "N" | [n] | `n` | "full name" | [Full Name] | t.n | "order" | "no column" | 'it''s' | x'0aFF' | null
1 | -5 | - -5 | 0x1F | 1e3 | .5 | 5. | -9223372036854775808 | 9223372036854775807 | 9223372036854775808
true | FALSE | (n) | ((n + 1))
n = 1 | n == 1 | n <> 1 | n != 1 | n < m | n >= m | n = 1.0 | n > 0.5 | n < 2.5 | r = 2.5 | r > 1 | u >= 1
r < u | price = 0.1 | price > 1 | price <= 2.5 | u = 1.5 | n = 9007199254740993 | n > 9007199254740992.0
n is 1 | n is not 1 | n is null | n isnull | n notnull | n not null | n is m | n is not m
s is 'Ada' | n is true | n is not false | flag is true | flag is not true | n is not null and m > 0
flag | not flag | flag = 0 | flag = 1 | flag <> 0 | flag != 1 | flag == 1 | 0 = flag | flag in (0, 1)
flag in (0) | flag not in (1) | flag = 2 | flag + 1 | flag > 0 | flag is 1 | flag = (n > 0) | flag is null
flag or n | n and m | not n | not not n | n > 0 and m > 0 or r > 0 | n = 1 = flag | n < m = flag | not n = 1
n = null | null | null is null | n in (1, null) | n not in (1, null) | n in () | n not in ()
n in (1, 2, 7) | n not in (1, 2, 7) | n in (1, 2.5) | n in (m, 7) | s in ('Ada', 'x') | s not in ('Ada')
s in ("Ada", '') | r in (1, 2.5) | n between 0 and 5 | n not between m and 7 | s between 'A' and 'b'
r between -1 and 2.5 | n between null and 0 | n + m | n - m | n * m | n / m | n % m | n / 2 | 7 / m
n % 3 | -n | ~m | m & 3 | m | 4 | m << 2 | m >> 1 | (m & 1) = 1 | r + 1 | r * 2 | r / 2 | r / m | n / 2.0
u + 1 | u * u | price + 1 | price * 2 | n + null | n / 0 | n % 0 | r / 0 | 1 + 2 * 3 - 4 | n - m - 1
n - (m - 1) | 10 / 4 * 2 | (1 << 40) + 1 | 2147483647 + 1 | length(s) * 2147483647
s = 'Ada' | s <> 'ada' | s < 'b' | s >= 'Z' | s > "full name" | s = "full name" collate nocase
s collate nocase = 'ADA' | nc = 'ada' | nc <> 'ADA' | nc < 'b' | 'ada' = nc | nc = s | s = nc | nc collate binary = 'ADA'
nc in ('ada', 'x') | nc between 'a' and 'b' | s collate rtrim = 'a' | nc collate rtrim = 'a' | (nc) = 'ada'
"full name" || s collate nocase < s | upper(s collate nocase) = 'ada' | cast(s collate nocase as text) = 'ADA'
s < 'a' || 'B' collate nocase | ifnull(s, 'a' collate nocase) = 'ADA' | case when n then s else 'B' collate nocase end = 'ADA'
nc is 'ada' | cast(nc as text) = 'ada' | nc || '' = 'ada' | "full name" collate nocase in ('ADA', 'X%y_z')
s like 'a%' | s like 'A_A' | s not like '%a' | s like 'їжак' | s like 'ЇЖАК' | s like '%\\%' | s like 'x\\%y%' escape '\\'
s like "full name" | nc like '%Ï%' | s like '' | n like '1%' | s like null | s like 'x!%y!_z' escape '!' | flag like '1'
s glob 'A*' | s glob '*a' | s glob '[A-Z]*' | s not glob '*[^0-9]*' | s glob '?da' | nc glob '[[]x]*'
nc glob '*[]]' | s glob 'x%y_z' | s glob '*.*' | s glob '[^a]*' | s glob '*\\*' | s glob '' | s glob 'line?break'
s glob '[0-9][0-9]' | s glob '[a-]*' | nc glob '*^*' | s glob '(*' | s glob '[Ї-я]*'
s || "full name" | s || n | n || m | s || null | 'a' || 'b' | flag || 'x' | n || '' = '1' | 'x' || day
case when n > 0 then 'p' when n < 0 then 'n' else 'z' end | case n when 1 then 'one' when null then 'x' end
case flag when 1 then 'yes' when 0 then 'no' end | case when flag then 1 else 2.5 end | case s when 'Ada' then n else m end
case nc when 'ADA' then 1 else 0 end | case when n then flag else n end | case when n is null then null else s end
cast(n as text) | cast(n as real) | cast(u as integer) | cast(n as integer) | cast(flag as integer) | cast(s as text)
cast(n as varchar(2)) | cast(-2.9 as int) | cast(price as real) | cast(n as numeric)
typeof(n) | typeof(n) = 'integer' | typeof(n) = "integer" | 'integer' = typeof(n) | typeof(n) <> 'integer'
typeof(r) = 'real' | typeof(s) in ('text', 'null') | typeof(b) = 'blob' | typeof(s) = 'integer' | typeof(null)
length(s) | length(b) | length(n) | length("full name") > 3 | length(nc) between 1 and 5 | length('ї') | length(flag)
lower(s) | upper(s) | upper(nc) = 'ADA' | lower(n) | lower(s) = lower("full name") | lower(hex(b))
substr(s, 1, 2) | substr(s, 2) | substr(s, -3) | substr(s, -3, 2) | substr(s, -10, 8) | substr(s, 0, 2) | substr(s, 0)
substr(s, m) | substr(s, m, 3) | substr(s, 2, 0) | substring(s, 2, 3) | substr(n, 1, 1)
substr(s, instr(s, '%') + 1) | substr(s, 5, 400) | substr(s, -1, 1) = 'a'
trim(s) | ltrim(s) | rtrim(s) | trim(s, 'aA') | ltrim(s, ' a') | rtrim(s, 'як') | trim(s) <> '' | trim(s, '')
instr(s, 'a') | instr(s, '') | instr("full name", s) > 0 | instr(n, 1) | replace(s, 'a', 'bb') | replace(s, '', 'x')
replace(s, 'A', '') | ifnull(n, 0) | ifnull(s, 'none') | coalesce(n, m, 0) | coalesce(null, s, '') | ifnull(flag, 0)
ifnull(r, 0) | ifnull(flag, n) | coalesce(s, "full name") = 'Ada' | iif(n > 0, 'p', 'q') | iif(flag, n, m)
nullif(n, 1) | nullif(s, '') | nullif(nc, 'ada') | nullif(n, 1.0) | nullif(flag, 0) | abs(n) | abs(r) | abs(-5)
round(r) | round(u) | round(price, 1) | round(n) | round(2.5) | round(-2.5) | round(0.5) | round(n, 2) | round(r, 3)
min(n, m) | max(n, m) | max(n, 0, m) | min(s, "full name") | max(s, 'b') | min(r, 1) | max(n, null) | max(1, 2)
hex(b) | hex(s) | hex(n) | hex(null) | unicode(s) | char(65, 66) | char(8364) | sign(n) | sign(r)
printf('%s-%d', s, n) | printf('100%%') | format('x') | printf('%d', flag) | likely(n > 0) | unlikely(flag)
likelihood(n, 0.5) | doc is null or json_valid(doc) = 1 | s is null or json_valid(s)
json_extract(doc, '$.a.b') = 'x' | doc ->> '$.t' is null | json_extract(doc, '$.n') = 5 | json_array_length(doc)
doc ->> 'a b' is not null | json_extract(doc, '$.a."c y"[1]') = 'two' | json_extract(doc, '$.a.b') <> 'x'
doc -> 'a' | doc -> 0 | json_extract(doc, '$.zzz') is null | json_extract(doc, '$[2].k') is null
date(at) | datetime(at) | time(at) | date(day) | datetime(day) | date(at) = '2024-02-29' | date(at, '+1 day')
date(at, 'start of month') | date(at, 'start of month', '+1 month', '-1 day') | datetime(at, '-90 minutes')
date(at, 'start of year', '-1 year') | datetime(at, '+36 hours', 'start of day') | strftime('%Y-%m', at)
strftime('%Y', at) = '2024' | strftime('%H:%M:%S', at) | strftime('%d"%m\\x', at) | strftime('%j', day)
strftime('%s', at) | cast(strftime('%s', at) as integer) | strftime('%s', at) * 1000 | julianday(at)
julianday(day) - julianday(at) | unixepoch(at) | datetime(m, 'unixepoch') | date(m * 86400, 'unixepoch') | date(at) || ''
strftime('%Y%%', at) | at >= '2024-02-29' | at < '2024-02-29' | at > '2024-02-29' | at <= '2024-02-29'
at between '2024-01-01' and '2024-12-31' | at = '2024-02-29 12:34:56' | '2024-02-29' <= at | '2024-02-29' > at
day = '2024-02-29' | day < '2024-03-01' | day in ('2024-02-29', '2024-01-31') | day is '2024-02-29' | b = x'616263'
b > x'00' | b is x'' | at = at | day <> day | at is null | date(at) = day | n -- a comment
/* one */ n + /* two */ 1 | n > 0 -- a | b
"""  # noqa: E501
# The bar separates: two expressions contain one as an operator.
EXPRESSIONS = [
    text.strip()
    for line in SAME.strip().splitlines()
    for text in line.replace(" || ", "\0").replace("m | 4", "m \1 4").split(" | ")
]
EXPRESSIONS = [text.replace("\0", " || ").replace("\1", "|") for text in EXPRESSIONS]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_has_the_same_value_in_both_engines(both: BothEngines, text: str) -> None:
    both.check(text)


CONDITIONS = [
    "n", "m", "r", "price", "flag", "1", "0", "0.5", "null", "n > 0", "n and m", "not n", "n or r",
    "typeof(n) in ('integer', 'null')", "length(s) <= 5", "s in ('Ada', 'ada')", "n in (0, 1)",
       "doc is null or json_valid(doc)",
    "s <> '' and (n is null or n >= 0)", "(1)", "flag in (0, 1)", "coalesce(n, 0)",
    "s like '%@%'", "n - m", "case when n > 0 then 1 else 0 end", "true",
]  # fmt: skip


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_holds_for_the_same_rows(both: BothEngines, text: str) -> None:
    both.check_condition(text)


REFUSED = {
    "s > 5": "compared",
    "n = '5'": "compared",
    "s = n": "compared",
    "b = 'x'": "compared",
    "b = s": "compared",
    "flag = 'true'": "compared",
    "at > 5": "compared",
    "at = '2024-02-30'": "compared",
    "at = '2024-02-29'": "compared",
    "day > 'x'": "compared",
    "at = day": "compared",
    "doc = '{}'": "compared",
    "+n = 1": "unary plus",
    "n in (1, +m)": "unary plus",
    "s + 1": "used as a number",
    "s and n": "used as a condition",
    "u / 2": "division",
    "price / 2": "division",
    "r % 2": "division",
    "n << m": "shift",
    "r & 1": "whole one",
    "n = r": "may be large",
    "r || ''": "text form",
    "at || ''": "text form",
    "b || s": "text form",
    "at like '2024%'": "text form",
    "typeof(u)": "typeof",
    "typeof(at) = 'text'": "typeof",
    "cast(s as integer)": "CAST",
    "cast(n as date)": "CAST",
    "cast(n as blob)": "CAST",
    "coalesce(n, s)": "branches",
    "coalesce(n, r)": "branches",
    "case when n then s else n end": "branches",
    "max(nc, 'a')": "ignore case",
    "s regexp 'x'": "not translated",
    "s match 'x'": "not translated",
    "exists (select 1)": "not translated",
    "(select 1)": "not translated",
    "n in (select 1)": "SELECT",
    "n in other": "IN",
    "random()": "not translated",
    "abs(random())": "not translated",
    "soundex(s)": "not translated",
    "my_function(n)": "not translated",
    "last_insert_rowid()": "not translated",
    "count(n)": "not translated",
    "max(n)": "not translated",
    "rowid": "no column",
    "missing": "no column",
    "s glob \"full name\"": "GLOB",
    "s glob '[a'": "never ends",
    "s like 'x' escape 'ab'": "ESCAPE",
    "s like 'x' escape s": "",
    "s like 'x!' escape '!'": "before nothing",
    "s collate ukrainian = 'x'": "collation",
    "substr(s, 1, -1)": "negative length",
    "substr(s, r)": "whole numbers",
    "round(r, m)": "digits",
    "printf('%.2f', r)": "printf",
    "printf(s)": "printf",
    "char(m)": "char",
    "date(s)": "date function",
    "date('2024-01-01')": "date function",
    "date(at, 'localtime')": "localtime",
    "date(at, '+1 month')": "any day but the first",
    "date(at, s)": "modifier",
    "strftime('%W', at)": "%W",
    "strftime(s, at)": "format",
    "strftime('%f', at)": "%f",
    "json_extract(s, '$.a')": "JSON functions",
    "json_extract(doc, s)": "path",
    "json_extract(doc, '$.a', '$.b')": "several",
    "json_extract(doc, '$[#-1]')": "path",
    "doc ->> 'a.b'": "several steps",
    "doc -> '$.a.b'": "several steps",
    "substr(b, 1)": "text form",
    "substr(s, null)": "whole numbers",
    "n = r - 0": "may be large",
    "1 << 2 + 1": "shift",
    "json_extract(doc, '$.a') > 1": "plain literal",
    "json_extract(doc, '$.a') = 1": "plain literal",
    "json_extract(doc, '$.a') = '1'": "plain literal",
    "json_extract(doc, '$.a') || ''": "text form",
    "(n, m) = (1, 2)": "not translated",
    "n +": "parsed",
    "n, m": "single",
    "n) + (m": "",
    "n from t": "",
    "": "",
    "'a' 'b'": "not translated",
    "not_a_function": "no column",
    "current_user": "",
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED.items())
def test_a_meaning_that_could_differ_is_refused(text: str, why: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        expression(text, SCOPE)
    assert why in caught.value.why


def test_a_column_of_several_storage_classes_is_only_asked_for_null() -> None:
    scope = Scope({"v": ScopeColumn("v", "text", "", uniform=False)})
    assert expression("v is not null", scope) == '"v" IS NOT NULL'
    for text in ("v = 'x'", "v > 1", "length(v)", "coalesce(v, '')", "v in ('x')", "typeof(v)"):
        with pytest.raises(UntranslatableError):
            expression(text, scope)


def test_a_nesting_beyond_reason_is_refused_and_a_long_chain_is_not() -> None:
    with pytest.raises(UntranslatableError):
        expression("(" * 3000 + "n" + ")" * 3000, SCOPE)
    chain = " or ".join(f"n = {number}" for number in range(300))
    assert expression(chain, SCOPE).count(" OR ") == 299


def test_a_column_named_as_a_keyword_is_found() -> None:
    words = [
        *("date", "time", "interval", "timestamp", "key", "value", "type", "user", "current_user"),
        *("left", "first", "desc", "asc", "text", "json", "row", "rows", "offset"),
    ]
    scope = Scope({word: (word, "bigint") for word in words})
    for word in words:
        assert expression(f"{word} > 0", scope) == f'"{word}" > 0'


def test_what_the_parser_stumbles_over_is_said() -> None:
    scope = Scope({"": ScopeColumn("_", "text", "TEXT")})
    with pytest.raises(UntranslatableError, match="could not be parsed"):
        expression('date("")', scope)
