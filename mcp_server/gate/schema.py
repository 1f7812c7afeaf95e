"""What postgres_schema_alter takes: one change of schema public that destroys nothing.

Healing a schema means adding what is missing: columns, constraints, indexes, a table. What could
lose data, weaken a protection or run code later is refused, and every target of a statement is
looked at, since ALTER TABLE takes a list of them.
"""

import re
from dataclasses import replace

from pglast import ast
from pglast.enums import AlterTableType, ConstrType, DropBehavior, ObjectType

from mcp_server.failure import Failure, refuse
from mcp_server.gate.functions import calls_of, check_definition
from mcp_server.gate.parse import nodes, parse_one
from mcp_server.gate.query import check_reading, statement_name
from mcp_server.gate.statement import Statement

_DENIED = "42501"
# A letter or underscore, then letters, digits and underscores, of any alphabet: data sets have
# Cyrillic columns. No spaces: a name is read by other agents, and could be written to instruct.
_PLAIN_NAME = re.compile(r"[^\W\d]\w{0,62}")
# Types that hold every value of a narrower one: changing to them loses nothing.
_WIDE_TYPES = frozenset({"text", "varchar", "int8", "numeric"})
_CONSTRAINTS = (
    ConstrType.CONSTR_CHECK,
    ConstrType.CONSTR_UNIQUE,
    ConstrType.CONSTR_PRIMARY,
    ConstrType.CONSTR_FOREIGN,
)
_HARMLESS_CHANGES = (
    AlterTableType.AT_ColumnDefault,
    AlterTableType.AT_SetNotNull,
    AlterTableType.AT_DropNotNull,
    AlterTableType.AT_ValidateConstraint,
)
_TAKEN = (
    "Allowed are ALTER TABLE … ADD COLUMN, ADD constraint, SET/DROP DEFAULT, SET/DROP NOT NULL, "
    "TYPE to a wider type; CREATE and DROP INDEX; CREATE TABLE; CREATE VIEW … WITH "
    "(security_invoker=true); with confirm=true DROP of a table or view made through this tool."
)


def judge_schema(text: str, confirm: bool = False) -> Statement:
    """The statement, where it is one harmless change of schema public.

    Args:
        confirm: a DROP TABLE or DROP VIEW is meant.

    Raises:
        Failure: with what is taken instead.
    """
    tree = parse_one(text)
    match tree:
        case ast.AlterTableStmt():
            statement = _alter_table(text, tree)
        case ast.IndexStmt():
            statement = _create_index(text, tree)
        case ast.CreateStmt() if type(tree) is ast.CreateStmt:
            statement = _create_table(text, tree)
        case ast.ViewStmt():
            # Its query only reads; it need not keep to the short list of definitions.
            return _create_view(text, tree)
        case ast.DropStmt():
            return _drop(text, tree, confirm)
        case _:
            raise refuse(f"{statement_name(tree)} is not available here.", _TAKEN, _DENIED)
    for node in nodes(tree):
        check_definition(node)
    return replace(statement, calls=calls_of(tree))


def _alter_table(text: str, tree: ast.AlterTableStmt) -> Statement:
    if tree.objtype != ObjectType.OBJECT_TABLE:
        raise refuse("Only tables can be altered.", _TAKEN, _DENIED)
    _check_relation(tree.relation)
    for command in tree.cmds:
        _check_change(command)
    return Statement(text, "ALTER TABLE", tree.relation.relname)


def _check_change(command: ast.AlterTableCmd) -> None:
    kind = command.subtype
    if kind == AlterTableType.AT_AddColumn:
        _check_column(command.def_)
    elif kind == AlterTableType.AT_AddConstraint:
        _check_constraint(command.def_)
        if command.def_.contype not in _CONSTRAINTS:
            raise refuse("This kind of constraint cannot be added here.", _TAKEN, _DENIED)
    elif kind == AlterTableType.AT_AlterColumnType:
        _check_wider(command.def_)
    elif kind not in _HARMLESS_CHANGES:
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", AlterTableType(kind).name[3:]).upper()
        raise refuse(f"ALTER TABLE … {words} is not available here.", _TAKEN, _DENIED)


def _check_column(column: ast.ColumnDef) -> None:
    _check_name(column.colname)
    for constraint in column.constraints or ():
        _check_constraint(constraint)


def _check_constraint(constraint: ast.Constraint) -> None:
    if constraint.conname:
        _check_name(constraint.conname)
    if constraint.indexspace or constraint.options:
        raise refuse("Storage options are not available here.", sqlstate=_DENIED)
    if constraint.contype == ConstrType.CONSTR_FOREIGN:
        _check_relation(constraint.pktable)
        # 'a' is NO ACTION, 'r' is RESTRICT; the others would delete or empty rows later.
        if {constraint.fk_upd_action, constraint.fk_del_action} - {"a", "r"}:
            raise refuse(
                "A foreign key that changes rows by itself is not available here.",
                "Leave ON DELETE and ON UPDATE out.",
                _DENIED,
            )


def _check_wider(column: ast.ColumnDef) -> None:
    target = column.typeName
    if (
        column.raw_default is not None
        or target.typmods
        or target.arrayBounds
        or target.setof
        or target.names[-1].sval not in _WIDE_TYPES
    ):
        raise refuse(
            "This change of type could lose or rewrite values.",
            "A column can become text, varchar (without length), bigint or numeric (without "
            "precision), and without USING.",
            _DENIED,
        )


def _create_index(text: str, tree: ast.IndexStmt) -> Statement:
    _check_relation(tree.relation)
    if tree.tableSpace or tree.options:
        raise refuse("Storage options are not available here.", sqlstate=_DENIED)
    if tree.idxname:
        _check_name(tree.idxname)
    elif tree.concurrent:
        raise refuse(
            "CREATE INDEX CONCURRENTLY needs a name here.",
            "Name the index, so that it can be removed if building it fails.",
            _DENIED,
        )
    return Statement(text, "CREATE INDEX", tree.idxname, in_transaction=not tree.concurrent)


def _create_table(text: str, tree: ast.CreateStmt) -> Statement:
    _check_new(tree.relation)
    extras = (
        tree.inhRelations, tree.partbound, tree.partspec, tree.ofTypename, tree.options,
        tree.tablespacename, tree.accessMethod,
    )  # fmt: skip
    if any(extras):
        raise refuse("Only plain tables can be created here.", _TAKEN, _DENIED)
    for element in tree.tableElts or ():
        if isinstance(element, ast.ColumnDef):
            _check_column(element)
        elif isinstance(element, ast.Constraint) and element.contype in _CONSTRAINTS:
            _check_constraint(element)
        else:
            raise refuse("Only columns and constraints can be part of it.", _TAKEN, _DENIED)
    return Statement(text, "CREATE TABLE", tree.relation.relname)


def _create_view(text: str, tree: ast.ViewStmt) -> Statement:
    _check_new(tree.view)
    options = {option.defname: getattr(option.arg, "sval", None) for option in tree.options or ()}
    if tree.replace or options not in ({"security_invoker": "true"}, {"security_invoker": "on"}):
        raise refuse(
            "A view is created new, and with its reader's rights.",
            "Write CREATE VIEW name WITH (security_invoker=true) AS SELECT …",
            _DENIED,
        )
    for name in tree.aliases or ():
        _check_name(name.sval)
    check_reading(tree.query)
    return Statement(text, "CREATE VIEW", tree.view.relname, calls=calls_of(tree))


def _drop(text: str, tree: ast.DropStmt, confirm: bool) -> Statement:
    kinds = {
        ObjectType.OBJECT_INDEX: "INDEX",
        ObjectType.OBJECT_TABLE: "TABLE",
        ObjectType.OBJECT_VIEW: "VIEW",
    }
    kind = kinds.get(tree.removeType)
    if kind is None:
        raise refuse("This kind of object cannot be dropped here.", _TAKEN, _DENIED)
    if len(tree.objects) != 1 or tree.behavior == DropBehavior.DROP_CASCADE:
        raise refuse(
            "One object is dropped at a time, and nothing that depends on it.",
            "Name one object and leave CASCADE out.",
            _DENIED,
        )
    parts = [part.sval for part in tree.objects[0]]
    _check_schema(parts[-2] if len(parts) > 1 else None, parts[-1])
    if kind != "INDEX" and not confirm:
        raise refuse(
            f"DROP {kind} destroys data.",
            "Pass confirm=true if it is meant; only what was made through this tool goes.",
            "21000",
        )
    return Statement(text, f"DROP {kind}", parts[-1], in_transaction=not tree.concurrent)


def _check_new(relation: ast.RangeVar) -> None:
    _check_relation(relation)
    if relation.relpersistence != "p":
        raise refuse("Temporary and unlogged tables lose their rows.", _TAKEN, _DENIED)
    _check_name(relation.relname)


def _check_relation(relation: ast.RangeVar) -> None:
    if relation.catalogname:
        raise _elsewhere()
    _check_schema(relation.schemaname, relation.relname)


def _check_schema(schema: str | None, name: str) -> None:
    # Without a schema, PostgreSQL looks into its catalogue first.
    if schema not in (None, "public") or name.startswith("pg_"):
        raise _elsewhere()


def _elsewhere() -> Failure:
    return refuse("Only schema public can be changed.", _TAKEN, _DENIED)


def _check_name(name: str) -> None:
    if not _PLAIN_NAME.fullmatch(name) or name.startswith("pg_"):
        raise refuse(
            f"{name!r} is not a plain name.",
            "Use letters, digits and underscores, beginning with a letter.",
            "42602",
        )
