"""Which PostgreSQL is meant, and where its passwords are.

Settings come from the environment or `.env`, under the names of the official image
(`POSTGRES_HOST`, `POSTGRES_DB`, …), or as one `DATABASE_URL`, which goes before them. Without
any of them the embedded server is meant.
"""

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from database.address import parse_address
from database.errors import TargetError
from database.secrets import CONTEXT_KEY, read_secret

DATABASE_NAME = "atlastrinity_prod"

#: Written by the embedded server into its instance directory while it runs.
SERVER_FILE = "server.json"


class Environment(BaseSettings):
    """The settings as the environment gives them. All of them are optional."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str | None = Field(
        default=None, description="The address as one URL, without a password."
    )
    postgres_host: str | None = Field(
        default=None, description="Host; unset means the embedded server."
    )
    postgres_port: int = Field(default=5432, ge=1, le=65535, description="TCP port.")
    postgres_db: str = Field(default=DATABASE_NAME, description="Database name.")
    postgres_sslmode: str = Field(default="prefer", description="libpq's sslmode.")
    postgres_sslrootcert: Path | None = Field(default=None, description="CA file.")
    secrets_dir: Path = Field(default=Path("var/secrets"), description="Folder of secrets.")
    embedded_dir: Path | None = Field(default=None, description="Folder of the embedded server.")


class Server(BaseModel):
    """One reachable PostgreSQL database, without any password in it."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    database: str = DATABASE_NAME
    sslmode: str = "prefer"
    sslrootcert: Path | None = None
    #: The login that applies sql/.
    administrator: str = "postgres"
    secrets_dir: Path

    @classmethod
    def discover(cls) -> Self:
        """The server that the environment names, else the embedded one that is running.

        Raises:
            TargetError: no server is named and none is running.
            UsageError: DATABASE_URL is wrong.
        """
        environment = Environment()
        if environment.database_url or environment.postgres_host:
            fields: dict[str, Any] = {
                "host": environment.postgres_host,
                "port": environment.postgres_port,
                "database": environment.postgres_db,
                "sslmode": environment.postgres_sslmode,
                "sslrootcert": environment.postgres_sslrootcert,
                "secrets_dir": environment.secrets_dir,
            }
            if environment.database_url:
                fields |= parse_address(environment.database_url)
            return cls(**fields)
        # Imported late: the embedded server itself needs this module.
        from database.embedded.server import default_directory  # noqa: PLC0415

        server = cls.from_instance(default_directory())
        named = "postgres_db" in environment.model_fields_set
        return server.with_database(environment.postgres_db) if named else server

    @classmethod
    def from_instance(cls, directory: Path) -> Self:
        """The embedded server that runs in `directory`.

        Raises:
            TargetError: it is not running.
        """
        try:
            return cls(**json.loads((directory / SERVER_FILE).read_text()))
        except FileNotFoundError:
            raise TargetError(
                "No PostgreSQL is configured, and no embedded server is running.",
                "Start one with 'python -m database start', or set DATABASE_URL or POSTGRES_HOST.",
            ) from None
        except OSError as error:
            raise TargetError(
                f"Cannot read {directory / SERVER_FILE}: {error.strerror}.",
                "Run the command as the user who started the embedded server.",
            ) from error

    def password(self, role: str) -> str | None:
        """The password of a login from its secret file; None leaves it to libpq (`~/.pgpass`)."""
        return read_secret(self.secrets_dir, f"{role}_password")

    def context_key(self) -> str | None:
        """The key that agents' contexts are sealed with, from its secret file."""
        return read_secret(self.secrets_dir, CONTEXT_KEY)

    def with_database(self, name: str) -> Self:
        """The same server, another database on it."""
        return self.model_copy(update={"database": name})

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"
