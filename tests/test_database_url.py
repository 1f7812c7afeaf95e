"""Any server by URL: verified TLS and SCRAM for real, no password in the URL, clear refusals."""

import contextlib
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from database.address import parse_address
from database.embedded.account import server_account
from database.embedded.server import EmbeddedServer
from database.errors import UsageError
from database.settings import Server
from tests.programs import query, run_module


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host name, and its key."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", crt),
        ],
        check=True,
        capture_output=True,
    )
    return crt, key


@dataclass(frozen=True)
class Secured:
    """A server that takes TLS alone; certificates of its own authority and of another."""

    server: Server
    authority: Path
    stranger: Path

    def url(self, *, host: str = "localhost", mode: str = "verify-full", ca: Path | None) -> str:
        address = f"postgresql://postgres@{host}:{self.server.port}/{self.server.database}"
        return f"{address}?sslmode={mode}" + (f"&sslrootcert={ca}" if ca else "")

    def run(self, url: str, *arguments: object, **settings: object) -> tuple[int, str]:
        """A program that has the address by DATABASE_URL alone."""
        secrets = self.server.secrets_dir
        settings |= {"DATABASE_URL": url, "SECRETS_DIR": secrets}
        result = run_module(*arguments, server=None, **settings)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made by openssl, which is missing here")
    directory = Path(tempfile.mkdtemp(prefix="atlas-tls-"))
    directory.chmod(0o755)
    crt, key = certificate(directory, "localhost")
    stranger, _ = certificate(directory, "stranger")
    server_account().own(key)
    options = {"fsync": "off", "ssl": "on", "ssl_cert_file": str(crt), "ssl_key_file": str(key)}
    instance = EmbeddedServer(directory, options=options)
    try:
        server = instance.start()
        hba = instance.data / "pg_hba.conf"
        hba.write_text("hostssl all all all scram-sha-256\n")
        query(server.model_copy(update={"sslmode": "require", "database": "postgres"}),
              "select pg_reload_conf()")  # fmt: skip
        yield Secured(server, crt, stranger)
    finally:
        instance.remove()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table t (id integer primary key); insert into t values (7)"
        )
    return path


def test_a_migration_over_a_verified_connection(secured: Secured, source: Path) -> None:
    url = secured.url(ca=secured.authority)
    code, output = secured.run(url, "database", "apply")
    assert code == 0, output
    work = {"MIGRATION_DIR": source.parent / "work"}
    code, output = secured.run(url, "migration", "run", source, "--engine", "copy", **work)
    assert code == 0, output
    code, output = secured.run(url, "migration", "verify", **work)
    assert code == 0, output
    server = secured.server.model_copy(
        update={"host": "localhost", "sslmode": "verify-full", "sslrootcert": secured.authority}
    )
    assert query(server, "select id from public.t") == [(7,)]
    assert query(server, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]
    # The server takes nothing else: without TLS there is no way in.
    code, output = secured.run(secured.url(mode="disable", ca=None), "migration", "status")
    assert code == 4
    assert "pg_hba.conf" in output


@pytest.mark.parametrize(
    ("host", "ca", "said", "hint"),
    [
        ("localhost", "stranger", "certificate verify failed", "the authority that signed"),
        ("127.0.0.1", "authority", "does not match host name", "that the server's certificate"),
        ("localhost", "missing", "root certificate file", "POSTGRES_SSLROOTCERT"),
    ],
)
def test_a_server_that_cannot_be_verified_is_refused(
    secured: Secured, host: str, ca: str, said: str, hint: str
) -> None:
    file = secured.authority.with_name("nobody.crt") if ca == "missing" else getattr(secured, ca)
    code, output = secured.run(secured.url(host=host, ca=file), "migration", "status")
    assert code == 4
    assert said in output
    assert hint in output


def test_pgloader_is_refused_where_the_host_name_is_verified(
    secured: Secured, source: Path
) -> None:
    if shutil.which("pgloader") is None:
        pytest.skip("pgloader is not installed here")
    url = secured.url(ca=secured.authority).replace(secured.server.database, "another")
    assert secured.run(url, "database", "apply")[0] == 0
    run = ("migration", "run", source, "--engine", "pgloader")
    code, output = secured.run(url, *run, MIGRATION_DIR=source.parent / "work")
    assert code == 2, output
    assert "cannot verify the server's host name" in output
    assert "--engine copy" in output


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://migrator:hunter2@db.example.com/x", "holds a password"),
        ("postgresql://db.example.com/x?password=hunter2", "holds a password"),
        ("postgresql+asyncpg://:hunter2@db.example.com/x", "is not an address"),
        ("postgresql://u:hunter2%zz@db.example.com/x", "is not an address"),
        ("postgresql://one,two/x", "several servers"),
        ("postgresql:///x", "no server"),
        ("postgresql://db.example.com:99999/x", "port"),
        ("postgresql://db.example.com/x?options=-c%20hunter2", "sets options"),
    ],
)
def test_wrong_urls_are_refused_without_being_repeated(url: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_address(url)
    assert said in refused.value.message
    assert "hunter2" not in refused.value.message + refused.value.hint


def test_the_url_goes_before_the_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_HOST", "elsewhere")
    monkeypatch.setenv("POSTGRES_DB", "named")
    monkeypatch.setenv("POSTGRES_SSLMODE", "require")
    monkeypatch.setenv("DATABASE_URL", "postgres://boss@[::1]:5433?sslmode=verify-ca")
    server = Server.discover()
    assert (server.host, server.port, server.database) == ("::1", 5433, "named")
    assert (server.sslmode, server.administrator) == ("verify-ca", "boss")
