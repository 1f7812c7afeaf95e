"""Passwords are generated once, can be given, and show up nowhere they should not."""

import json
from pathlib import Path

from tests.docker.project import SECRET_NAMES, Project, docker, run
from tests.docker.watch import CommandLines

# As root, over the whole file system of an image; the patterns come in by standard input.
_SEARCH = """
cat >/dev/shm/patterns
for folder in /*; do
    case $folder in /proc | /sys | /dev) ;; *) grep -rFl -f /dev/shm/patterns "$folder" ;; esac
done
"""


def test_secrets_are_long_and_all_different(secrets: dict[str, str]) -> None:
    assert len(set(secrets.values())) == len(SECRET_NAMES)
    assert all(len(value) >= 32 for value in secrets.values())


def test_no_secret_is_in_the_images(road: Project, secrets: dict[str, str]) -> None:
    patterns = "\n".join(secrets.values()) + "\n"
    for image in road.images():
        described = docker("inspect", image) + docker("history", "--no-trunc", image)
        assert not leaked(described, secrets), image
        options = ("--rm", "--interactive", "--network=none", "--user=0", "--entrypoint=sh")
        search = run(["docker", "run", *options, image, "-c", _SEARCH], check=False, stdin=patterns)
        assert search.stdout == "", image


def test_no_secret_is_in_logs_or_inspect(road: Project, secrets: dict[str, str]) -> None:
    assert not leaked(road.compose("logs", "--no-color").stdout, secrets)
    assert not leaked(json.dumps(road.containers()), secrets)
    volumes = docker("volume", "ls", "--quiet", f"--filter=name={road.name}").split()
    assert not leaked(docker("volume", "inspect", *volumes), secrets)
    assert not leaked(road.compose("config").stdout, secrets)


def test_no_secret_is_in_a_process_list(
    road: Project, secrets: dict[str, str], command_lines: CommandLines
) -> None:
    running = [entry["Id"] for entry in road.containers().values() if entry["State"]["Running"]]
    for container in running:
        assert not leaked(docker("top", container, "-eo", "pid,args"), secrets)
    # Including programs that are over by now: psql, pgloader, initdb.
    assert not leaked("\n".join(command_lines.seen), secrets)
    watched = Path("/proc/self/cmdline").exists()
    assert not watched or any("postgres" in line for line in command_lines.seen)


def test_the_agents_container_holds_its_own_secrets_only(
    road: Project, secrets: dict[str, str]
) -> None:
    listing = road.compose("exec", "-T", "mcp", "ls", "/run/secrets").stdout.split()
    assert set(listing) == {name for name in SECRET_NAMES if name.startswith("mcp_")}
    write = "touch /run/secrets/x || touch /app/x"
    refused = road.compose("exec", "-T", "mcp", "sh", "-c", write, check=False)
    assert refused.returncode != 0


def test_given_secrets_win_and_the_others_are_generated(project: Project, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    (given / "atlas_password").write_text("chosen by the operator")
    (given / "atlas_pasword").write_text("mistyped")
    for file in given.iterdir():
        file.chmod(0o444)
    project.settings["SECRET_FILES"] = str(given)
    project.compose("build", "secrets")
    said = project.compose("run", "--rm", "-T", "secrets").stdout
    assert "atlas_pasword is no secret of ours" in said
    assert project.secret("atlas_password") == "chosen by the operator"
    before = {name: project.secret(name) for name in SECRET_NAMES}
    again = project.compose("run", "--rm", "-T", "secrets").stdout
    assert "nothing to generate" in again
    assert {name: project.secret(name) for name in SECRET_NAMES} == before


def leaked(text: str, secrets: dict[str, str]) -> list[str]:
    """The names of the secrets whose values are in a text."""
    return [name for name, value in secrets.items() if value in text]
