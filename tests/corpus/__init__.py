"""Legitimate statements, and how the tests read them."""

from pathlib import Path

from pglast import parser


def statements(name: str) -> list[str]:
    """The statements of a file of this folder, each as it is written there."""
    text = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
    return [str(statement) for statement in parser.split(text)]
