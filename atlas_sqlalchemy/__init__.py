"""SQLAlchemy plugin `atlas`: the platform's models, unmodified, as a login without DDL.

Chosen in the URL: `postgresql+asyncpg://atlas@127.0.0.1:5433/atlastrinity_prod?plugin=atlas`.
"""

from atlas_sqlalchemy.plugin import AtlasPlugin

__all__ = ["AtlasPlugin"]
