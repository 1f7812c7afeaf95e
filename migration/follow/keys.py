"""The rows of the target that have given keys: found, taken out, and read back."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from psycopg import sql

from migration.capture.changes import Key
from migration.convert import text_of
from migration.load.refusal import column_types
from migration.plan import ColumnPlan, TablePlan
from migration.rows import RefusedRow, RowConverter
from migration.source import Row
from migration.statements import Connection, statement, trusted
from migration.target import identifier

#: Keys that go into one statement.
_AT_ONCE = 5_000


class TargetKeys:
    """A table's rows by the key that they have in the source."""

    def __init__(self, connection: Connection, table: TablePlan, key: Sequence[str]) -> None:
        self._connection = connection
        self._table = table
        by_source = {column.source: column for column in table.columns}
        self._columns = tuple(by_source[name] for name in key)
        narrowed = table.model_copy(update={"columns": self._columns})
        self._converter = RowConverter(narrowed)
        self._types = column_types(connection, narrowed)

    def delete(self, keys: Iterable[Key]) -> int:
        """Take out the rows with these keys; how many there were."""
        deleted = 0
        for changed in self.given(keys):
            deletion = statement("delete_changed").format(
                changed=changed, relation=identifier(self._table), pairs=self.pairs()
            )
            deleted += self._connection.execute(deletion).rowcount
        return deleted

    def relations(self, keys: Iterable[Key]) -> Iterator[sql.Composed]:
        """Subqueries for the rows with these keys, some at a time, each with its ctid."""
        # Keys that differ in the source may be one in the target, and are to be asked for once.
        for changed in self.given(keys):
            rows = statement("changed_rows").format(
                changed=changed, relation=identifier(self._table), pairs=self.pairs()
            )
            yield sql.SQL("({}) as r").format(rows)

    def given(self, keys: Iterable[Key]) -> Iterator[sql.Composed]:
        """Queries for the keys as values of the target's types."""
        converted = (self._converter.convert(Row(0, (), key)) for key in keys)
        # What does not convert was never sent.
        texts = {
            tuple(map(text_of, values)): None
            for values in converted
            if not isinstance(values, RefusedRow)
        }
        waiting = iter(texts)
        while some := list(islice(waiting, _AT_ONCE)):
            yield self._values(list(zip(*some, strict=True)))

    def _values(self, texts: list[tuple[str | None, ...]]) -> sql.Composed:
        names = [trusted(f"k{number}") for number in range(len(texts))]
        valid = [
            # A literal each, not parameters: see verify.
            sql.SQL("({0} is null or pg_input_is_valid({0}, {1}))").format(
                name, sql.Literal(entry.checked_type)
            )
            for name, entry in zip(names, self._types, strict=True)
        ]
        all_valid = sql.SQL(" and ").join(valid)
        return statement("changed_keys").format(
            # CASE, since PostgreSQL may compute a column before it looks at WHERE.
            casts=sql.SQL(", ").join(
                sql.SQL("case when {} then {}::{} end as {}").format(
                    all_valid, name, trusted(entry.cast_type), name
                )
                for name, entry in zip(names, self._types, strict=True)
            ),
            texts=sql.SQL(", ").join(
                sql.SQL("{}::text[]").format(sql.Literal(list(column))) for column in texts
            ),
            names=sql.SQL(", ").join(names),
            valid=all_valid,
        )

    def pairs(self) -> sql.Composed:
        """The condition under which a row "t" has the key "c", one of those given."""
        return sql.SQL(" and ").join(
            sql.SQL(_equal(column)).format(sql.Identifier("t", column.target), trusted(f"c.k{n}"))
            for n, column in enumerate(self._columns)
        )


def _equal(column: ColumnPlan) -> str:
    # Only = can use an index.
    return "{} = {}" if column.not_null else "{} is not distinct from {}"
