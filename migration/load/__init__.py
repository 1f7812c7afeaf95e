"""Two engines behind one interface; neither is trusted, the verification is."""

from migration.load.engine import Engine, LoadedTable, Progress, make_engine

__all__ = ["Engine", "LoadedTable", "Progress", "make_engine"]
