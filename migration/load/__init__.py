"""Two engines behind one interface; neither is trusted, the verification is."""

from migration.load.engine import Engine, EngineName, LoadedTable, Progress, make_engine

__all__ = ["Engine", "EngineName", "LoadedTable", "Progress", "make_engine"]
