"""pgloader without us, tuned to the length of the rows. Its own casts do for these tables."""

import os
import re
import subprocess
from pathlib import Path

from benchmarks.migration.prepare import Prepared
from database.apply import ADMIN
from database.connect import passfile
from database.errors import BundleError, TargetError
from database.settings import Server
from migration.load.pgloader_command import environment, find_program

#: Debian's build has a heap of 1 GB, of which the collector needs half; a character takes four
#: bytes, and a row is held as it was read, as text, and as what is sent.
_QUEUE_BYTES = 64 * 2**20
_BYTES_PER_CHARACTER = 4
_BATCH_BYTES = 8 * 2**20
_MOST_ROWS = 25_000
_FEWEST_ROWS = 4
_SHOWN_LINES = 5
#: With a single worker it was seen to stand still.
_FEWEST_WORKERS, _MOST_WORKERS = 2, 4
#: A pgloader that is slower than this hangs, and will do so until somebody ends it.
_PATIENCE_SECONDS, _SLOWEST_BYTES_PER_SECOND = 120, 200_000

_COMMAND = """\
LOAD DATABASE
     FROM sqlite://{source}
     INTO postgresql:///{database}?sslmode={sslmode}

 WITH data only, no foreign keys, reset no sequences,
      workers = {workers}, concurrency = 1,
      batch rows = {batch_rows}, batch size = 8MB, prefetch rows = {prefetch_rows}

  SET search_path to 'public',
      statement_timeout to '0';
"""


def load(prepared: Prepared, target: Server, folder: Path) -> None:
    """Run pgloader. Its exit code says nothing, so that the rows are counted by whoever calls."""
    (folder / "command.load").write_text(_command(prepared, target), encoding="utf-8")
    output = folder / "output.log"
    with passfile(target, ADMIN) as password_file, output.open("w") as said:
        try:
            result = subprocess.run(
                [find_program(), "--root-dir", ".", "--logfile", "pgloader.log", "command.load"],
                cwd=folder,
                env=environment(target, password_file) | {"PGUSER": ADMIN},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_patience(prepared),
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"pgloader hung: ended after {error.timeout:.0f} s") from error
    lines = output.read_text(errors="replace").splitlines()
    wrong = [line for line in lines if re.search(r"ERROR|FATAL|exhausted", line)]
    if result.returncode or wrong:
        raise TargetError(f"pgloader failed: {' '.join((wrong or lines)[:_SHOWN_LINES])}")


def is_missing() -> str | None:
    """Why pgloader cannot be used here."""
    try:
        find_program()
    except BundleError as error:
        return error.message
    return None


def _command(prepared: Prepared, target: Server) -> str:
    length = prepared.row_bytes
    room = _QUEUE_BYTES // (_BYTES_PER_CHARACTER * length)
    return _COMMAND.format(
        source=prepared.source,
        database=target.database,
        sslmode=target.sslmode,
        workers=max(_FEWEST_WORKERS, min(os.cpu_count() or 1, _MOST_WORKERS)),
        batch_rows=_clamp(_BATCH_BYTES // length),
        prefetch_rows=_clamp(room),
    )


def _patience(prepared: Prepared) -> float:
    return _PATIENCE_SECONDS + prepared.source.stat().st_size / _SLOWEST_BYTES_PER_SECOND


def _clamp(rows: int) -> int:
    return max(_FEWEST_ROWS, min(rows, _MOST_ROWS))
