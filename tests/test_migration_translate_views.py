"""A translated view shows the rows and the column names that it showed in SQLite."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.types.json import set_json_loads

from database.connect import connect
from database.settings import Server
from migration.translate import RelationScope, ScopeColumn, UntranslatableError, view
from tests.both_engines import document, same
from tests.conftest import fresh_database

SOURCE = """
create table people (Id integer primary key, Name text, nick text collate nocase, "born on" date,
    active boolean, boss integer, rate real);
insert into people values (1, 'Ada', 'ada', '1815-12-10', 1, null, 1.5),
    (2, 'Їжак', 'ADA', '2001-02-03', 0, 1, 2.25), (3, null, null, null, null, 2, null),
    (4, 'ada', 'Bob', '1999-12-31', 1, 1, -3.0), (5, '', 'x', '2024-02-29', 0, 9, 0.0);
create table "Задачі" (id integer primary key, person integer, title text, "at" datetime,
    doc json, hours integer, any);
insert into "Задачі" values (1, 1, 'Plan', '2024-01-01 10:00:00', '{"k": "v"}', 5, 'x'),
    (2, 1, 'plan', '2024-02-29 23:59:59', '{"k": 7}', -2, 'y'),
    (3, 2, 'Їсти', '2023-12-31 00:00:00', '{}', 0, 'z'),
    (4, null, null, null, null, null, null),
    (5, 4, 'a%b', '2024-06-01 12:30:00', '{"k": true}', 8, 'x');
"""
PEOPLE = RelationScope(
    "public",
    "People",
    {
        "id": ScopeColumn("id", "bigint", "INTEGER"),
        "name": ScopeColumn("Name", "text", "TEXT"),
        "nick": ScopeColumn("nick", "text", "TEXT", "NOCASE"),
        "born on": ScopeColumn("born on", "date", "DATE"),
        "active": ScopeColumn("active", "boolean", "BOOLEAN"),
        "boss": ScopeColumn("boss", "bigint", "INTEGER"),
        "rate": ScopeColumn("rate", "double precision", "REAL"),
    },
)
TASKS = RelationScope(
    "public",
    'задачі "🧪"',
    {
        "id": ScopeColumn("id", "bigint", "INTEGER"),
        "person": ScopeColumn("person", "bigint", "INTEGER"),
        "title": ScopeColumn("title", "text", "TEXT"),
        "at": ScopeColumn("at", "timestamp without time zone", "DATETIME"),
        "doc": ScopeColumn("doc", "jsonb", "JSON"),
        "hours": ScopeColumn("hours", "bigint", "INTEGER"),
        "any": ScopeColumn("any", "text", "", uniform=False),
    },
)
TABLES = {"people": PEOPLE, "Задачі": TASKS}


@dataclass
class Databases:
    source: sqlite3.Connection
    target: psycopg.Connection[Any]

    def check(self, select: str, *, named: bool = True) -> None:
        """The view of this SELECT has the same columns and rows on both sides."""
        text = select if select.startswith("create") else f"create view v as {select}"
        self.source.execute(text)
        try:
            wanted = self.source.execute("select * from v")
            names = [column[0] for column in wanted.description]
            rows = wanted.fetchall()
        finally:
            self.source.execute("drop view v")
        definition = view(text, TABLES)
        listed = ", ".join('"' + name.replace('"', '""') + '"' for name in definition.columns)
        with self.target.transaction(force_rollback=True):
            self.target.execute(
                f"create view public.translated ({listed}) as {definition.select}".encode()
            )
            types = self.target.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute "
                "where attrelid = 'public.translated'::regclass and attnum > 0 order by attnum"
            ).fetchall()
            found = self.target.execute("select * from public.translated").fetchall()
        assert types == list(zip(definition.columns, definition.types, strict=True))
        if named:
            assert [name.lower() for name in definition.columns] == [
                one.lower() for one in map(cut, names)
            ]
        ordered = " order by " in select.lower()
        assert matching(rows, found, ordered=ordered), (definition.select, rows, found)


def cut(name: str) -> str:
    return name.encode()[:63].decode(errors="ignore")


def matching(rows: list[Any], found: list[Any], *, ordered: bool) -> bool:
    if len(rows) != len(found):
        return False
    rest = list(found)
    for row in rows:
        candidates = rest[:1] if ordered else rest
        hit = next(
            (one for one in candidates if all(same(*pair) for pair in zip(row, one, strict=True))),
            None,
        )
        if hit is None:
            return False
        rest.remove(hit)
    return True


@pytest.fixture(scope="module")
def databases(cluster: Server) -> Iterator[Databases]:
    with (
        fresh_database(cluster) as database,
        connect(database, "migrator", autocommit=True) as target,
        contextlib.closing(sqlite3.connect(":memory:", cached_statements=0)) as source,
    ):
        source.executescript(SOURCE)
        target.execute("set role atlas_owner")
        set_json_loads(document, target)
        for name, relation in TABLES.items():
            quoted = '"' + relation.name.replace('"', '""') + '"'
            columns = [ScopeColumn(*column) for column in relation.columns.values()]
            declared = ", ".join(f'"{column.name}" {column.pg_type}' for column in columns)
            target.execute(f"create table public.{quoted} ({declared})".encode())
            marks = ", ".join(f"%s::{column.pg_type}" for column in columns)
            for row in source.execute(f'select * from "{name}"'):
                values = [str(one) if isinstance(one, int) else one for one in row]
                target.execute(f"insert into public.{quoted} values ({marks})".encode(), values)
        yield Databases(source, target)


VIEWS = [
    "select * from people",
    "select id, NAME, \"Born On\", active from PEOPLE",
    "select p.*, t.title from people p join \"Задачі\" t on t.person = p.id",
    "select p.name as 'Full Name', p.id as [the id], p.nick `n n` from people as p",
    "select id + 1, length(name), upper(name) || '!', 'x', 5, null, active = 0, count(*) over ()"
    " from people",
    "select distinct name from people",
    "select distinct active, boss > 1 from people order by 1, 2",
    "select id, id, id as id from people",
    "select name n from people where n = 'Ada' or length(n) > 3",
    "select active, count(*) as c, sum(id), avg(rate), min(name), max(rate), total(id) from people"
    " group by active having c > 0",
    "select active, count(*) from people group by 1 order by 2 desc, 1",
    "select strftime('%Y', at) as y, count(distinct person), sum(hours) filter (where hours > 0)"
    ' from "Задачі" group by y order by y desc',
    "select person, group_concat(id, '; '), group_concat(distinct person) from \"Задачі\""
    " where id = 1 group by person",
    "select count(*), count(name), sum(active), min(active) from people",
    "select sum(id), total(rate), max(id) from people where 0",
    "select * from people order by name desc limit 2",
    "select name from people order by name limit 1, 3",
    "select name from people order by nick, id limit 3 offset 1",
    "select name as id, id as other from people order by id, other",
    "select id from people limit -1",
    "select id from people order by id desc limit 100 offset 3",
    "select id from people order by active, rate desc, id",
    "select id from people order by name collate nocase, id",
    "select id from people order by rate nulls last, id desc",
    "select p.id, t.id from people p left join \"Задачі\" t on p.id = t.person and t.hours > 0",
    "select p.id, b.name from people p left outer join people b on b.id = p.boss",
    "select a.id, b.id from people a, people b where a.id < b.id and a.active",
    "select * from people cross join (select 1 as one)",
    "select id, title, name from \"Задачі\" join people using (id)",
    "select * from people join \"Задачі\" using (id)",
    "select * from (select id, name from people) natural join (select id, hours from \"Задачі\")",
    "select * from people natural left join (select 1 as id, 'x' as y)",
    "select x.n from (select name as n, id from people) as x where x.id in (1, 2)",
    "select id from people where id in (select person from \"Задачі\")",
    "select id from people where name not in (select title from \"Задачі\" where id < 4)",
    "select id from people p where exists (select 1 from \"Задачі\" t where t.person = p.id)",
    "select id from people p where not exists (select 1 from \"Задачі\" where person = p.id)",
    "select id, (select count(*) from \"Задачі\" t where t.person = p.id) as n from people p",
    "select id, (select title from \"Задачі\" t where t.person = p.id order by id) from people p",
    "select id from people union select person from \"Задачі\"",
    "select id from people union all select person from \"Задачі\" order by 1 desc limit 4",
    "select id, name from people except select id, name from people where active",
    "select id from people intersect select person from \"Задачі\" union all select 100",
    "select id, null as x from people union all select hours, 'q' from \"Задачі\" order by x, id",
    "select 1 as a union select 2 union select 1 order by a",
    "with a as (select id, name from people where active) select count(*), max(name) from a",
    "with a(x) as (select id from people), b as (select x + 1 as y from a) select y from b, a"
    " where x = y",
    "with recursive c(n) as (values(1) union all select n + 1 from c where n < 5) select n from c",
    "with recursive tree(id, depth) as (select id, 0 from people where boss is null union all"
    " select p.id, depth + 1 from people p join tree on p.boss = tree.id) select * from tree"
    " order by depth, id",
    "with recursive c as (select 1 as n union all select n + 1 from c where n < 3)"
    " select sum(n) from c",
    "select case when active then 'yes' when not active then 'no' else '?' end state from people",
    "select date(at), datetime(at), date(at, '+1 day'), at > '2024-01-01', julianday(at)"
    ' from "Задачі"',
    "select cast(strftime('%Y', \"born on\") as text) as year from people",
    'select doc ->> \'k\' is null as nothing_, json_extract(doc, \'$.k\') = \'v\' from "Задачі"',
    "select id, row_number() over (order by name desc, id) as r, rank() over (order by active),"
    " sum(id) over (partition by active order by id) from people",
    "select id, lag(name) over (order by id), lead(id, 2) over (order by id),"
    " first_value(name) over (order by id desc) from people",
    "select id, sum(id) over (order by id rows between 1 preceding and current row),"
    " count(*) filter (where active) over () from people",
    "select any from \"Задачі\"",
    "select p.id from main.people p",
    "select id from people indexed by idx where id > 0",
    "select id from people not indexed where id > 0;",
    "select coalesce(name, nick, 'nobody') as who, ifnull(boss, 0), iif(active, 1, 0) from people",
    "select \"name\", \"no such\" from people",
    "select id from people where nick = 'ADA'",
    "select round(rate), round(rate, 1), rate / 2, id / 2, id % 2, -id, abs(rate) from people",
    "select max(id, coalesce(boss, 0)), min(1, id) from people",
    "select t.id /* a comment */, -- and another\n t.title from \"Задачі\" t",
    "create view if not exists main.v (a, \"B b\") as select id, name from people",
    "create temp view v as select id from people",
    "select null as nothing_, 'text' as something, x'00ff' as bytes from people limit 1",
    "select * from (values (1, 'a'), (2, 'b'))",
]  # fmt: skip


@pytest.mark.parametrize("select", VIEWS)
def test_a_view_shows_the_same(databases: Databases, select: str) -> None:
    if "indexed by" in select:
        databases.source.execute("create index if not exists idx on people (id)")
    databases.check(select)


REFUSED = {
    "select * from missing": "no table",
    "select missing from people": "no column",
    "select id from people p, people q": "ambiguous",
    "select * from json_each('[1]')": "FROM",
    "select * from other.people": "another database",
    "select distinct nick from people": "ignore case",
    "select nick, count(*) from people group by nick": "ignore case",
    "select nick from people union select name from people": "collations",
    "select min(nick) from people": "ignore case",
    'select distinct "any" from "Задачі"': "several types",
    'select "any" from "Задачі" order by "any"': "several types",
    'select count(distinct "any") from "Задачі"': "several types",
    "select id from people union all select name from people": "one column",
    "select id from people union all select id, id from people": "as many columns",
    "select id from people where id in (select name from people)": "IN (SELECT",
    "select id from people where nick in (select nick from people)": "IN (SELECT",
    "select id from people limit (select 1)": "literal number",
    "select group_concat(rate) from people": "text form",
    "select json_group_array(id) from people": "not translated",
    "select sum(id) over w from people window w as (order by id)": "",
    "select id from people order by 7": "constant",
    "select id from people group by 'x' || 1 having my_function(id)": "not translated",
    "select (select 1, 2)": "several columns",
    "select +name from people": "unary plus",
    "select id from people p join people p": "two relations",
    "select id from (people join \"Задачі\")": "FROM",
    "values (1)": "not a query",
    "select date(name) from people": "date function",
    "select random()": "not translated",
    "select max(id, name) from people": "branches",
    "select": "",
    "delete from people": "not a query",
    "with a as (select 1 union all select * from a) select * from a where x": "",
}  # fmt: skip


@pytest.mark.parametrize(("select", "why"), REFUSED.items())
def test_a_view_that_could_show_something_else_is_refused(select: str, why: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        view(f"create view v as {select}", TABLES)
    assert why in caught.value.why


def test_a_view_may_read_a_view(databases: Databases) -> None:
    text = (
        "create view First as select id as N, name || '!' as shout, count(*) c "
        "from people group by 1, 2"
    )
    first = view(text, TABLES)
    scope = first.as_relation("public", "First view")
    second = view(
        "create view s as select shout, N + c as n from FIRST where n > 2",
        TABLES | {"first": scope},
    )
    with databases.target.transaction(force_rollback=True):
        databases.target.execute(
            f'create view "First view" (n, shout, c) as {first.select}'.replace(
                "(n,", '("N",'
            ).encode()
        )
        found = databases.target.execute(second.select.encode()).fetchall()
    assert sorted(found, key=str) == sorted([(None, 4), ("ada!", 5), ("!", 6)], key=str)
    assert second.columns == ("shout", "n")


def test_what_is_no_view_is_refused() -> None:
    for text in ("", "create table t (a)", "create view v", "select 1 as view"):
        with pytest.raises(UntranslatableError):
            view(text, TABLES)


def test_a_long_name_is_cut_to_63_bytes_and_stays_unique() -> None:
    select = (
        ", ".join(f"id + {number} + {'id + ' * 20}0" for number in (1, 1))
        + ", id as 'її"
        + "ї" * 60
        + "'"
    )
    columns = view(f"create view v as select {select} from people", TABLES).columns
    assert len(set(columns)) == 3
    assert all(len(column.encode()) <= 63 for column in columns)
