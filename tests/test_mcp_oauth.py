"""OAuth: tokens of an issuer, with real signatures, fetched keys, and every way to forge one."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from database.settings import Server
from tests.conftest import fresh_database
from tests.http_requests import INITIALIZE, bearer, call, get, post, token_of, tools_of
from tests.mcp_clients import http_server
from tests.programs import run_module

RESOURCE = "https://atlas.example/mcp"


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Issuer:
    """An authorization server, as far as a resource server meets one."""

    keys: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    fetched: int = 0
    down: bool = False

    def jwks(self) -> bytes:
        published = []
        for kid, key in self.keys.items():
            kind: Any = jwt.algorithms.RSAAlgorithm
            algorithm = "RS256"
            if isinstance(key, ec.EllipticCurvePrivateKey):
                kind, algorithm = jwt.algorithms.ECAlgorithm, "ES256"
            shown = json.loads(kind.to_jwk(key.public_key()))
            published.append({**shown, "kid": kid, "alg": algorithm, "use": "sig"})
        return json.dumps({"keys": published}).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": RESOURCE,
            "sub": "someone",
            "iat": now,
            "exp": now + 600,
            "agent": "grisha",
            "scope": "openid read write",
        }
        return {key: value for key, value in {**claims, **changes}.items() if value is not None}

    def token(self, kid: str = "one", *, headers: Any = None, **changes: Any) -> str:
        key = self.keys[kid]
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        return jwt.encode(
            self.claims(**changes), key, algorithm, headers={"kid": kid, **(headers or {})}
        )


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer({"one": rsa_key(), "two": ec.generate_private_key(ec.SECP256R1())})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.fetched += 1
            self.send_response(500 if made.down else 200)
            self.end_headers()
            self.wfile.write(b"" if made.down else made.jwks())

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def settings(issuer: Issuer) -> dict[str, Any]:
    return {
        "MCP_OAUTH_ISSUER": issuer.url,
        "MCP_OAUTH_JWKS_URL": f"{issuer.url}/jwks",
        "MCP_OAUTH_RESOURCE": RESOURCE,
        "MCP_FAILED_LOGINS_PER_MINUTE": 10_000,
    }


@pytest.fixture(scope="module")
def url(cluster: Server, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without a token of its own, on every address."""
    folder = tmp_path_factory.mktemp("oauth")
    with fresh_database(cluster) as server:
        for secret in server.secrets_dir.iterdir():
            if secret.name != "mcp_token":
                (folder / secret.name).write_text(secret.read_text())
        tokenless = server.model_copy(update={"secrets_dir": folder})
        with http_server(
            tokenless, folder / "log", "--host", "0.0.0.0", **settings(issuer)
        ) as address:
            yield address


def status(url: str, token: str) -> int:
    return post(url, INITIALIZE, **bearer(token))[0]


def test_a_token_speaks_for_the_agent_of_its_claim_within_its_scopes(
    url: str, issuer: Issuer
) -> None:
    for kid in ("one", "two"):
        token = issuer.token(kid)
        assert "postgres_execute" not in tools_of(url, token), "grisha may not, whatever the scope"
        assert call(url, token, "query", query="select 1 as n")["rows"] == [{"n": 1}]
        row = call(url, token, "query", query="show app.context")["rows"][0]
        assert '"agent": "grisha"' in row["app.context"]
    atlas = issuer.token(agent="atlas")
    assert "postgres_execute" in tools_of(url, atlas)
    assert "postgres_schema_alter" not in tools_of(url, atlas)
    assert tools_of(url, issuer.token(agent="atlas", scope=None, scp=["heal"])) == {
        "postgres_schema_alter",
        "postgres_heal",
        "postgres_fix_missing_column",
        "postgres_create_performance_index",
    }
    assert tools_of(url, issuer.token(agent="atlas", scope="openid")) == set()
    assert status(url, issuer.token(aud=["https://other.example", RESOURCE])) == 200
    assert status(url, issuer.token(headers={"typ": "at+jwt"})) == 200


def test_who_issues_tokens_is_published(url: str, issuer: Issuer) -> None:
    code, body = get(url, "/.well-known/oauth-protected-resource/mcp")
    assert code == 200
    published = json.loads(body)
    assert published["resource"] == RESOURCE
    assert published["authorization_servers"] == [issuer.url]
    assert published["scopes_supported"] == ["read", "write", "heal"]
    _, headers, _ = post(url, INITIALIZE)
    wanted = 'resource_metadata="https://atlas.example/.well-known/oauth-protected-resource/mcp"'
    assert wanted in headers["www-authenticate"]


def test_a_token_that_is_not_for_here_and_now_is_refused(url: str, issuer: Issuer) -> None:
    now = int(time.time())
    for changes in (
        {"exp": now - 60},
        {"exp": None},
        {"nbf": now + 120},
        {"iat": now + 120},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "https://other.example/mcp"},
        {"aud": RESOURCE + "/"},
        {"aud": None},
        {"agent": "nobody"},
        {"agent": None},
        {"agent": ["grisha"]},
        {"headers": {"typ": "logout+jwt"}},
        {"headers": {"kid": "none"}},
    ):
        token = issuer.token(**changes)
        assert status(url, token) == 401, changes


def _unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    return ".".join(
        [part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature)]
    )


def test_a_forged_token_is_refused(url: str, issuer: Issuer) -> None:
    claims = issuer.claims(agent="atlas")
    stranger = rsa_key()
    right = issuer.token()
    head, body, signature = right.split(".")
    other_body = issuer.token(agent="atlas").split(".")[1]
    public = (
        issuer.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    # The public key as the secret of an HMAC: what libraries that believe the header take.
    confused = _unsigned({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims)
    signed = confused.rpartition(".")[0]
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=")
    forged = {
        "alg none": _unsigned({"alg": "none", "kid": "one"}, claims),
        "alg None": _unsigned({"alg": "None", "kid": "one"}, claims),
        "no alg": _unsigned({"kid": "one"}, claims),
        "HS256 with the public key": f"{signed}.{mac.decode()}",
        "another key": jwt.encode(claims, stranger, "RS256", headers={"kid": "one"}),
        "a key of its own": jwt.encode(
            claims,
            stranger,
            "RS256",
            headers={
                "kid": "one",
                "jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key())),
                "jku": "https://evil.example/jwks",
            },
        ),
        "another algorithm of the same key": jwt.encode(
            claims, issuer.keys["one"], "PS256", headers={"kid": "one"}
        ),
        "the kid of another key": issuer.token("two", headers={"kid": "one"}),
        "another body": f"{head}.{other_body}.{signature}",
        "no signature": f"{head}.{body}.",
        "a path as kid": jwt.encode(claims, stranger, "RS256", headers={"kid": "../../etc/passwd"}),
        "no kid": jwt.encode(claims, issuer.keys["one"], "RS256"),
        "no JSON": "a.b.c",
        "dots": "..",
        "long": "x." * 2 + "x" * 7_000,
    }
    for name, token in forged.items():
        assert status(url, token) == 401, name
    assert status(url, right) == 200


def test_keys_are_rotated_without_a_restart_and_not_fetched_for_every_invented_name(
    url: str, issuer: Issuer
) -> None:
    assert status(url, issuer.token()) == 200
    stranger = rsa_key()
    before = issuer.fetched
    for number in range(30):
        token = jwt.encode(issuer.claims(), stranger, "RS256", headers={"kid": f"k{number}"})
        assert status(url, token) == 401
    assert issuer.fetched - before <= 2
    issuer.keys["three"] = rsa_key()
    deadline = time.monotonic() + 30
    while status(url, issuer.token("three")) != 200:
        assert time.monotonic() < deadline, "the new key is never fetched"
        time.sleep(1)
    assert status(url, issuer.token("one")) == 200
    # What is known is enough while the issuer is away.
    issuer.down = True
    try:
        assert status(url, issuer.token("three")) == 200
        issuer.keys["four"] = rsa_key()
        assert status(url, issuer.token("four")) == 401
    finally:
        issuer.down = False


def test_other_tokens_work_beside_it(database: Server, issuer: Issuer, tmp_path: Path) -> None:
    with http_server(database, tmp_path / "log", **settings(issuer)) as address:
        assert status(address, issuer.token()) == 200
        assert status(address, token_of(database)) == 200
        assert status(address, "wrong") == 401
    assert issuer.token().split(".")[2] not in (tmp_path / "log").read_text()


def test_half_a_setting_or_an_unsafe_one_is_refused(issuer: Issuer) -> None:
    whole = settings(issuer)
    for changes in (
        {"MCP_OAUTH_JWKS_URL": ""},
        {"MCP_OAUTH_RESOURCE": ""},
        {"MCP_OAUTH_ISSUER": ""},
        {"MCP_OAUTH_JWKS_URL": "http://keys.example/jwks"},
        {"MCP_OAUTH_JWKS_URL": "file:///etc/passwd"},
        {"MCP_OAUTH_ISSUER": "issuer.example"},
    ):
        result = run_module("mcp_server", "--http", "--port", "0", **{**whole, **changes})
        assert result.returncode == 2, changes
        assert "must be an https URL" in " ".join(result.stderr.split())
