"""Settings of backups, from the environment or `.env`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BackupSettings(BaseSettings):
    """All of them optional."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    backup_dir: Path = Field(
        default=Path("var/backup"), description="Folder of backups and of the archive."
    )
    backup_keep: int = Field(
        default=7, ge=1, le=10_000, description="How many backups are kept; older ones go."
    )
    backup_max_age_hours: float = Field(
        default=26, gt=0, description="`check` fails where the newest backup is older."
    )
    backup_max_behind_mb: int = Field(
        default=64, ge=1, description="`check` fails where the archive is further behind."
    )
    backup_lock_seconds: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="How long a backup tries for the moment in which nobody writes.",
    )
