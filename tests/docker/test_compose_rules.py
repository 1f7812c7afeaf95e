"""The rules that every service keeps, asserted from what compose makes of compose.yaml."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from backup.settings import BackupSettings
from database.settings import Environment
from mcp_server.settings import Settings
from migration.settings import MigrationSettings
from tests.docker.project import ROOT, VARIABLES, Project

ONE_SHOT = {"secrets", "schema", "migrate", "restore"}
LASTING = {"postgres", "mcp", "heal", "backup"}
#: Services that `docker compose up` alone does not start, each with its profile.
PROFILES = {"backup": ["backup"], "heal": ["heal"], "restore": ["restore"]}
#: Fixed by the container, so not for the operator to set there.
MCP_FIXED = {"MCP_HOST", "MCP_PORT", "MCP_AGENTS_FILE", "MCP_TLS_CERT", "MCP_TLS_KEY"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The project as compose sees it with nothing configured at all, every profile switched on."""
    project = Project(data=ROOT / "data")
    shown = project.compose("--profile", "*", "config", "--format", "json").stdout
    parsed: dict[str, Any] = json.loads(shown)
    return parsed


@pytest.fixture(scope="module")
def services(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["services"]
    return found


def test_the_services_are_those_of_the_readme(services: dict[str, Any]) -> None:
    assert set(services) == ONE_SHOT | LASTING


def test_up_alone_starts_the_bundle(services: dict[str, Any]) -> None:
    found = {
        name: service["profiles"] for name, service in services.items() if service.get("profiles")
    }
    assert found == PROFILES


@pytest.mark.parametrize("name", sorted(ONE_SHOT | LASTING))
class TestEveryService:
    def test_cannot_gain_privileges(self, services: dict[str, Any], name: str) -> None:
        service = services[name]
        user, group = service["user"].split(":")
        assert int(user) > 0
        assert int(group) > 0
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert not {"cap_add", "privileged", "devices", "pid", "ipc", "userns_mode"} & set(service)

    def test_writes_only_to_volumes_and_memory(self, services: dict[str, Any], name: str) -> None:
        service = services[name]
        assert service["read_only"] is True
        assert all("size=" in mount for mount in service["tmpfs"])

    def test_has_limits(self, services: dict[str, Any], name: str) -> None:
        service = services[name]
        assert int(service["mem_limit"]) > 0
        assert int(service["pids_limit"]) > 0
        assert service["logging"]["driver"] == "json-file"
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])

    def test_publishes_on_this_host_only(self, services: dict[str, Any], name: str) -> None:
        for port in services[name].get("ports", []):
            assert port["host_ip"] == "127.0.0.1"
        assert services[name].get("network_mode") != "host"

    def test_mounts_host_folders_read_only_and_makes_none(
        self, services: dict[str, Any], name: str
    ) -> None:
        for mount in services[name]["volumes"]:
            if mount["type"] == "bind":
                assert mount["read_only"] is True
                assert not mount.get("bind", {}).get("create_host_path", False)
                assert "docker.sock" not in mount["source"]

    def test_has_no_secret_in_its_environment(self, services: dict[str, Any], name: str) -> None:
        for variable in services[name].get("environment", {}):
            assert variable.endswith("_FILE") or not re.search("PASSWORD|TOKEN|SECRET_", variable)


def test_one_shots_end_and_the_others_come_back(services: dict[str, Any]) -> None:
    assert {services[name]["restart"] for name in ONE_SHOT} == {"no"}
    assert {services[name]["restart"] for name in LASTING} == {"unless-stopped"}
    assert all("healthcheck" in services[name] for name in LASTING)


def test_the_health_of_postgres_is_asked_by_tcp(services: dict[str, Any]) -> None:
    assert "--host=127.0.0.1" in services["postgres"]["healthcheck"]["test"]
    assert services["postgres"]["stop_grace_period"] == "2m0s"
    assert int(services["postgres"]["shm_size"]) >= 256 * 1024**2


def test_services_start_in_the_order_of_the_flow(services: dict[str, Any]) -> None:
    def conditions(name: str) -> dict[str, str]:
        return {key: value["condition"] for key, value in services[name]["depends_on"].items()}

    done, healthy = "service_completed_successfully", "service_healthy"
    assert conditions("postgres") == {"secrets": done}
    assert conditions("schema") == {"secrets": done, "postgres": healthy}
    assert conditions("migrate") == {"schema": done}
    assert conditions("backup") == {"schema": done}
    assert conditions("restore") == {"secrets": done}
    assert conditions("mcp") == {"postgres": healthy, "schema": done, "migrate": done}
    assert conditions("heal") == conditions("mcp")
    # A migration that failed changed nothing, and keeps no agent out.
    assert services["mcp"]["depends_on"]["migrate"]["required"] is False
    assert services["heal"]["depends_on"]["migrate"]["required"] is False


def test_each_service_sees_its_own_secrets_only(services: dict[str, Any]) -> None:
    mounted = {
        name: {
            mount["source"] for mount in service["volumes"] if mount["source"].startswith("secrets")
        }
        for name, service in services.items()
    }
    assert mounted["postgres"] == {"secrets_postgres"}
    assert mounted["migrate"] == {"secrets_migrate"}
    assert mounted["mcp"] == mounted["heal"] == {"secrets_mcp"}
    assert mounted["backup"] == mounted["restore"] == {"secrets_backup"}
    assert mounted["schema"] == {"secrets"}
    for name in ("postgres", "migrate", "mcp", "heal", "schema", "backup", "restore"):
        for mount in services[name]["volumes"]:
            assert mount.get("read_only") or not mount["source"].startswith("secrets")
    assert services["secrets"]["network_mode"] == "none"


def test_containers_have_no_way_out(config: dict[str, Any]) -> None:
    for network in config["networks"].values():
        options = network.get("driver_opts") or {}
        assert options.get("com.docker.network.bridge.enable_ip_masquerade") == "false"


def test_base_images_are_the_two_that_can_be_built_offline() -> None:
    for dockerfile in (ROOT / "docker").glob("*/Dockerfile"):
        bases = re.findall(r"^FROM (\S+)", dockerfile.read_text(), flags=re.MULTILINE)
        assert set(bases) <= {"debian:trixie-slim", "postgres:17-trixie"}
        assert not re.search(r"^# *syntax=", dockerfile.read_text(), flags=re.MULTILINE)


def test_every_variable_is_documented_without_a_password() -> None:
    example = (ROOT / ".env.example").read_text()
    documented = set(re.findall(r"^# ([A-Z0-9_]+)=", example, flags=re.MULTILINE))
    fields = {
        *(name.upper() for name in Environment.model_fields),
        *(name.upper() for name in MigrationSettings.model_fields),
        *(name.upper() for name in BackupSettings.model_fields),
        *(f"MCP_{name.upper()}" for name in Settings.model_fields),
    }
    assert documented >= set(VARIABLES) | fields
    assert not re.search(r"^[^#\n]", example, flags=re.MULTILINE)
    assert not any("PASSWORD" in name or "TOKEN" in name for name in documented)


def test_the_database_is_copied_and_never_written_by_the_backup(services: dict[str, Any]) -> None:
    for name, writes in (("backup", False), ("restore", True)):
        (mount,) = (m for m in services[name]["volumes"] if m["source"] == "postgres_data")
        assert mount.get("read_only", False) is not writes


def test_only_backups_to_a_store_have_a_way_out() -> None:
    files = ("compose.yaml", "compose.s3.yaml")
    settings = {"BACKUP_S3_BUCKET": "b", "BACKUP_S3_ENDPOINT": "e", "BACKUP_S3_REGION": "r"}
    project = Project(data=ROOT / "data", settings=settings, files=files)
    shown = json.loads(project.compose("--profile", "*", "config", "--format", "json").stdout)
    found = {name: one.get("networks") or {} for name, one in shown["services"].items()}
    outside = {name for name, networks in found.items() if "store" in networks}
    assert outside == {"postgres", "backup", "restore"}
    refused = Project(data=ROOT / "data", files=files).compose("config", check=False)
    assert "required variable BACKUP_S3_" in refused.stderr


def test_every_setting_of_the_server_reaches_its_container() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    passed_on = set(re.findall(r"^ +(MCP_\w+):$", compose, flags=re.MULTILINE))
    settings = {f"MCP_{name.upper()}" for name in Settings.model_fields}
    assert passed_on == settings - MCP_FIXED


def test_a_mistyped_data_folder_is_an_error_and_creates_nothing(tmp_path: Path) -> None:
    project = Project(data=tmp_path / "mistyped")
    try:
        result = project.compose("up", "--no-start", "--no-deps", "migrate", check=False)
        assert result.returncode != 0
        assert "mistyped" in result.stderr
        assert not project.data.exists()
    finally:
        project.remove()
