"""Restore: recovered in a folder of its own, then swapped with the cluster that is there.

Invariant: until the swap, which is one step that a kill cannot halve, the instance is untouched;
the old cluster stays beside the new one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backup.recover import NotReachedError, Recovered, recovered, remove_scratch
from backup.repository import Backup
from backup.source import Source
from backup.target import Target, choose_backups, choose_timeline
from database.apply import set_passwords
from database.embedded.server import EmbeddedServer
from database.errors import BackupError, UsageError

Say = Callable[[str], None]

_STAGING = ".restoring"
_OWN = (
    *("data", "secrets", "server.log", "server.json", "port", ".lock", "postgresql", _STAGING),
    # A volume of the service `postgres`.
    ".running",
)


@dataclass(frozen=True)
class Restored:
    """What was restored, and where the old cluster is."""

    backup: Backup
    timeline: int
    position: str
    old: Path | None


def restore(
    source: Source,
    target: Target,
    instance: EmbeddedServer,
    say: Say,
    *,
    backup_id: str | None = None,
) -> Restored:
    """Bring an instance folder of the embedded server to a target; the server is not started.

    Args:
        source: where backups and log are.
        target: where to.
        instance: the server of that folder, which is made where it is missing.
        say: takes what happens.
        backup_id: the backup to begin from; the newest that leads there is taken without.

    Raises:
        TargetError: a server runs there.
        BackupError: no backup leads to the target, or one is damaged.
        UsageError: the folder holds something else.
    """
    with instance.kept_stopped():
        _check_folder(instance)
        candidates = _candidates(source, target, backup_id)
        instance.prepare_directory()
        staging = instance.directory / _STAGING
        remove_scratch(staging)
        try:
            backup, end = _first_that_leads_there(source, candidates, target, instance, say)
            old = instance.replace_data(staging / "data")
        finally:
            remove_scratch(staging)
    return Restored(backup, end.timeline, end.position, old)


def _check_folder(instance: EmbeddedServer) -> None:
    instance.finish_swap()
    if instance.directory.exists() and not instance.data.exists():
        others = [path.name for path in instance.directory.iterdir() if path.name not in _OWN]
        if others:
            raise UsageError(
                f"{instance.directory} is no folder of an embedded server: it holds {others[0]}.",
                "Name another --directory.",
            )


def _candidates(source: Source, target: Target, backup_id: str | None) -> list[Backup]:
    backups = [source.find(backup_id)] if backup_id else source.taken()
    return choose_backups(target, choose_timeline(target, source.timelines()), backups)


def _first_that_leads_there(
    source: Source,
    candidates: list[Backup],
    target: Target,
    instance: EmbeddedServer,
    say: Say,
) -> tuple[Backup, Recovered]:
    """Recover from the newest backup that leads to the target, and set the passwords in it."""
    failure: NotReachedError | None = None
    staging = instance.directory / _STAGING
    for backup in candidates:
        say(f"backup {backup.id} → {target}")
        staging.mkdir(parents=True, mode=0o755)
        try:
            with recovered(source, backup, target, staging) as found:
                # The passwords of this instance, not those of the moment that is restored.
                server = found.server.model_copy(update={"secrets_dir": instance.secrets()})
                set_passwords(server, including_admin=True)
        except NotReachedError as error:
            failure = error
            say(f"backup {backup.id} does not lead there")
            remove_scratch(staging)
        else:
            _complete_settings(instance, found.data)
            return backup, found
    raise failure or BackupError("No backup leads to the target.")


def _complete_settings(instance: EmbeddedServer, data: Path) -> None:
    """Servers of packages keep their settings elsewhere: then the defaults are used, and
    everybody needs a password."""
    rules = (
        "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
    )
    for name, text in (
        ("postgresql.conf", "# Defaults: the backup had no settings.\n"),
        ("pg_hba.conf", rules),
        ("pg_ident.conf", ""),
    ):
        path = data / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o600)
            instance.account.own(path)
