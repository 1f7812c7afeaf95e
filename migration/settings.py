"""Settings of the migration, from the environment, `.env` or the command line."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from migration.load import EngineName

PLATFORM_DATABASE = Path.home() / ".config" / "atlastrinity" / "atlastrinity.db"


class MigrationSettings(BaseSettings):
    """All of them optional."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    sqlite_path: Path = Field(
        default=PLATFORM_DATABASE, description="The SQLite file, or a folder that holds one."
    )
    migration_engine: EngineName = Field(default=EngineName.COPY, description="copy or pgloader.")
    migration_dir: Path = Field(
        default=Path("var/migration"), description="Folder of snapshots and reports."
    )
