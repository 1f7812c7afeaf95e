"""Settings of backups, from the environment or `.env`."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EngineName(StrEnum):
    """The programs that can make backups here."""

    #: Without Docker: PostgreSQL's own pg_basebackup and pg_receivewal.
    PG_BASEBACKUP = "pg_basebackup"
    #: In the containers.
    PGBACKREST = "pgbackrest"


class BackupSettings(BaseSettings):
    """All of them optional."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    backup_engine: EngineName = Field(
        default=EngineName.PG_BASEBACKUP, description="What makes them; the containers set it."
    )
    backup_dir: Path = Field(
        default=Path("var/backup"), description="Folder of backups and of the archive."
    )
    backup_keep: int = Field(
        default=7, ge=1, le=10_000, description="How many full backups are kept; older ones go."
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
    backup_scratch_dir: Path = Field(
        default=Path("/var/lib/atlas-scratch"),
        description="Where pgBackRest's backups are restored to when they are verified.",
    )
    backup_volume: Path = Field(
        default=Path("/var/lib/postgresql/data"), description="The volume of the database."
    )
    backup_full_hours: float = Field(
        default=168, gt=0, description="The schedule: a full backup so often."
    )
    backup_diff_hours: float = Field(
        default=24, gt=0, description="What changed since the last full one, so often."
    )
    backup_incr_hours: float = Field(
        default=1, gt=0, description="What changed since the last one of any kind, so often."
    )
    backup_verify_hours: float = Field(
        default=24, gt=0, description="The newest backup is restored and compared so often."
    )
