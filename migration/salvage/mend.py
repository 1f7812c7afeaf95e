"""Make a damaged snapshot readable: every b-tree that is damaged anew, from what is sound.

Invariant: no row that is sound is touched or moved to another rowid, and whatever may have been
lost is named: the table, its rowids, and how many rows, where an index tells.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from database.errors import SourceError
from migration.quoting import quote_name
from migration.readable import open_schema
from migration.salvage.pages import DamageError, PageFile
from migration.salvage.tree import Tree, adopt, merged, read_tree, rebuild
from migration.schema import LeftOut

_SHOWN = 20
_SCHEMA_ROOT = 1


def salvage(path: Path, damaged: Path) -> tuple[LeftOut, ...]:
    """Mend a SQLite file in place, where it is damaged.

    Args:
        path: the file, which nobody else uses.
        damaged: where a copy goes first, if there is anything to mend.

    Returns:
        What was lost; nothing where the file is sound.

    Raises:
        SourceError: its first page, where everything begins, is lost.
    """
    try:
        file = PageFile.open(path)
    except DamageError as error:
        raise _hopeless(path, str(error)) from error
    with closing(file):
        schema = read_tree(file, _SCHEMA_ROOT, index=False)
        if not schema.leaves and not schema.sound:
            raise _hopeless(path, "the page with the schema is lost")
        if not schema.sound or file.missing or path.stat().st_size % file.page_size:
            shutil.copyfile(path, damaged)
            if not schema.sound:
                rebuild(file, schema)
            file.finish()
        trees = _read_tables(path, file)
        broken = [tree for tree in trees.values() if not tree.sound]
        if broken and not damaged.exists():
            shutil.copyfile(path, damaged)
        if broken:
            _mend(file, broken, adopting=schema.sound)
    lost = [] if schema.sound else [_lost_schema(schema)]
    return (*lost, *_losses(path, trees))


def _mend(file: PageFile, broken: list[Tree], *, adopting: bool) -> None:
    tables = [tree for tree in broken if not tree.index]
    try:
        file.take_free_pages()
    except DamageError:
        # What was deleted cannot be told from what was detached: nothing is taken back.
        adopting = False
    if adopting:
        adopt(file, tables)
    for tree in broken:
        rebuild(file, tree)
    file.finish()


def _read_tables(path: Path, file: PageFile) -> dict[str, Tree]:
    """The tree of every table, by name."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.text_factory = _lenient
        try:
            open_schema(connection)
        except sqlite3.Error as error:
            raise _hopeless(path, str(error)) from error
        tables = connection.execute(
            "select name, rootpage, wr, (select count(*) from"
            "  pragma_table_xinfo(sqlite_master.name) where hidden in (0, 3))"
            " from sqlite_master join pragma_table_list using (name)"
            " where sqlite_master.type = 'table' and rootpage > 0 and schema = 'main' order by name"
        ).fetchall()
    trees = {}
    for name, root, without_rowid, columns in tables:
        trees[name] = read_tree(file, root, index=bool(without_rowid))
        trees[name].declared_columns = columns
    return trees


def _losses(path: Path, trees: dict[str, Tree]) -> list[LeftOut]:
    damaged = {name: tree for name, tree in trees.items() if not tree.sound}
    if not damaged:
        return []
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        open_schema(connection)
        return [
            LeftOut(
                kind="damaged pages",
                name=name,
                why=_loss(tree, _rows_lost(connection, name)),
            )
            for name, tree in damaged.items()
        ]


def _loss(tree: Tree, rows: int | None) -> str:
    pages = f"{tree.damaged_pages} page{'s' if tree.damaged_pages > 1 else ''} damaged"
    count = "" if rows is None else f", {rows} row{'' if rows == 1 else 's'} lost"
    if tree.index:
        return f"{pages}{count}; the table has no rowids by which to name its rows"
    gaps = merged(tree.gaps)
    shown = ", ".join(map(str, gaps[:_SHOWN]))
    more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    return f"{pages}{count}; unreadable rowids: {shown or 'none'}{more}"


def _rows_lost(connection: sqlite3.Connection, name: str) -> int | None:
    """How many more rows a sound index has; None where there is no such index."""
    table = quote_name(name)
    found = connection.execute(f"select count(*) from {table} not indexed").fetchone()[0]  # noqa: S608
    listed = connection.execute(
        "select name from pragma_index_list(?) where not partial and origin <> 'pk'"
        " or origin = 'pk' and not (select wr from pragma_table_list where name = ?)",
        [name, name],
    ).fetchall()
    counts = []
    for (index,) in listed:
        query = f"select count(*) from {table} indexed by {quote_name(index)}"  # noqa: S608
        try:
            counts.append(connection.execute(query).fetchone()[0])
        except sqlite3.Error:
            # The index is damaged too: it says nothing.
            continue
    return max(max(counts) - found, 0) if counts else None


def _lost_schema(schema: Tree) -> LeftOut:
    why = f"{schema.damaged_pages} damaged; what was defined there is not known any more"
    return LeftOut(kind="damaged pages", name="sqlite_master", why=why)


def _hopeless(path: Path, reason: str) -> SourceError:
    return SourceError(
        f"{path} cannot be salvaged: {reason}.",
        "Restore it from a backup; 'sqlite3 FILE .recover' may still find rows without names.",
    )


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
