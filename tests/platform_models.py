"""Models of the platform's shape, and what it does with them at its start.

As the platform has it: client defaults alone, aware times in columns without a zone, a type of its
own for UUIDs that binds text, lengths that SQLite never enforced, and a table (`users`) that sql/
does not know.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CHAR,
    JSON,
    Connection,
    DateTime,
    Float,
    ForeignKey,
    String,
    Text,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as NATIVE_UUID
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class Guid(TypeDecorator[uuid.UUID]):
    """A UUID: native on PostgreSQL, text elsewhere; bound as text in both."""

    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(NATIVE_UUID() if native else CHAR(36))

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(value)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    pass


class Session(Base):
    __tablename__ = "sessions"
    id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
    started_at: Mapped[datetime] = mapped_column(DateTime, default=now)
    ended_at: Mapped[datetime | None]
    metadata_blob: Mapped[dict[str, Any]] = mapped_column(JSON, default={})
    tasks: Mapped[list["Task"]] = relationship(
        back_populates="session", cascade="all, delete-orphan"
    )


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id"))
    goal: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(50), default="PENDING")
    golden_path: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=now)
    completed_at: Mapped[datetime | None]
    metadata_blob: Mapped[dict[str, Any]] = mapped_column(JSON, default={})
    parent_task_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tasks.id"))
    session: Mapped[Session] = relationship(back_populates="tasks")
    steps: Mapped[list["Step"]] = relationship(back_populates="task", cascade="all, delete-orphan")


class Step(Base):
    __tablename__ = "task_steps"
    id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
    task_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tasks.id"))
    sequence_number: Mapped[str] = mapped_column(String(50))
    action: Mapped[str] = mapped_column(Text)
    tool: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(50))
    error_message: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=now)
    task: Mapped[Task] = relationship(back_populates="steps")


class ToolExecution(Base):
    __tablename__ = "tool_executions"
    id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
    step_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_steps.id"))
    task_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tasks.id"))
    server_name: Mapped[str] = mapped_column(String(100))
    tool_name: Mapped[str] = mapped_column(String(100))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(50), default="SUCCESS")
    created_at: Mapped[datetime] = mapped_column(DateTime, default=now)


class Log(Base):
    __tablename__ = "logs"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    session_id: Mapped[str | None] = mapped_column(String(100), index=True)
    timestamp: Mapped[datetime] = mapped_column(DateTime, default=now)
    level: Mapped[str] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(50))
    message: Mapped[str] = mapped_column(Text)
    metadata_blob: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Node(Base):
    __tablename__ = "kg_nodes"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    type: Mapped[str] = mapped_column(String(50))
    namespace: Mapped[str] = mapped_column(String(100), default="global", index=True)
    task_id: Mapped[uuid.UUID | None] = mapped_column(Guid(), ForeignKey("tasks.id"))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON, default={})
    last_updated: Mapped[datetime] = mapped_column(DateTime, default=now)


class Summary(Base):
    __tablename__ = "conversation_summaries"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    session_id: Mapped[str] = mapped_column(String(100), index=True)
    summary: Mapped[str] = mapped_column(Text)
    key_entities: Mapped[list[str]] = mapped_column(JSON, default=[])
    created_at: Mapped[datetime] = mapped_column(DateTime, default=now)
    metadata_blob: Mapped[dict[str, Any]] = mapped_column(JSON, default={})


class File(Base):
    __tablename__ = "files"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    path: Mapped[str] = mapped_column(String(500), index=True, unique=True)
    name: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(default=0)
    mtime: Mapped[float] = mapped_column(Float, default=0.0)
    is_dir: Mapped[bool] = mapped_column(default=False)
    content_hash: Mapped[str | None] = mapped_column(String(64))
    last_scanned: Mapped[datetime] = mapped_column(DateTime, default=now)


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    email: Mapped[str] = mapped_column(String(255), unique=True, index=True)
    status: Mapped[str] = mapped_column(String(50), default="active")
    session_id: Mapped[uuid.UUID | None] = mapped_column(Guid(), ForeignKey("sessions.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime, default=now)


async def start(engine: AsyncEngine) -> list[str]:
    """What the platform does at its start: create what is missing, check the rest, correct it.

    Returns what it could not do; it goes on after each, in the same transaction.
    """
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with engine.begin() as connection:
        return await connection.run_sync(check_schema)


def check_schema(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    failed: list[str] = []

    def attempt(what: str, run: Any) -> None:
        try:
            run()
        except Exception as error:  # noqa: BLE001 - as the platform does
            failed.append(f"{what}: {type(error).__name__}")

    def alter(clause: str) -> None:
        attempt(clause, lambda: connection.execute(text(clause)))

    for name, table in Base.metadata.tables.items():
        found = {column["name"]: column["type"] for column in inspector.get_columns(name)}
        for column in table.columns:
            wanted = column.type.compile(connection.dialect)
            if column.name not in found:
                alter(f'ALTER TABLE "{name}" ADD COLUMN "{column.name}" {wanted}')
            elif not _alike(str(found[column.name]).upper(), wanted.upper()):
                alter(f'ALTER TABLE "{name}" ALTER COLUMN "{column.name}" TYPE {wanted}')
        indexes = {index["name"] for index in inspector.get_indexes(name)}
        for index in table.indexes:
            if index.name not in indexes:
                attempt(f"index {index.name}", lambda index=index: index.create(connection))
        references = {
            (tuple(key["constrained_columns"]), key["referred_table"])
            for key in inspector.get_foreign_keys(name)
        }
        for key in table.foreign_key_constraints:
            columns = tuple(column.name for column in key.columns)
            if (columns, key.referred_table.name) not in references:
                alter(f'ALTER TABLE "{name}" ADD FOREIGN KEY ("{columns[0]}") REFERENCES {key}')
    return failed


def _alike(found: str, wanted: str) -> bool:
    def plain(kind: str) -> str:
        for word, meaning in {
            "DATETIME": "TIMESTAMP",
            "VARCHAR": "VARCHAR",
            "JSON": "JSON",
            "UUID": "UUID",
        }.items():
            if word in kind:
                return meaning
        return kind.removesuffix("WITHOUT TIME ZONE").strip()

    return plain(found) in plain(wanted) or plain(wanted) in plain(found)
