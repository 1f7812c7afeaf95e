"""Settings of the migration, from the environment, `.env` or the command line."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from migration.load import EngineName

PLATFORM_DATABASE = Path.home() / ".config" / "atlastrinity" / "atlastrinity.db"


#: The load is one stream; what runs beside it is done before it with so many cores.
_MOST_JOBS = 8


def _default_jobs() -> int:
    return max(2, min(os.cpu_count() or 2, _MOST_JOBS))


class MigrationSettings(BaseSettings):
    """All of them optional."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    sqlite_path: Path = Field(
        default=PLATFORM_DATABASE, description="The SQLite file, or a folder that holds one."
    )
    migration_engine: EngineName = Field(default=EngineName.COPY, description="copy or pgloader.")
    migration_jobs: int = Field(
        default_factory=_default_jobs,
        ge=1,
        le=64,
        description="How many processes work at the same time, on each side.",
    )
    migration_dir: Path = Field(
        default=Path("var/migration"), description="Folder of snapshots and reports."
    )
