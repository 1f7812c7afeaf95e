"""Salvage: a damaged SQLite file's b-trees, made anew from the pages and rows that are sound."""

from migration.salvage.mend import salvage

__all__ = ["salvage"]
