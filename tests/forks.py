"""Running the bundle's programs as forks of a process that has imported all of them already.

Importing takes a command three quarters of its processor time, and the tests run some thousand.
Each is a process of its own all the same: with its arguments, environment, files, signals and
exit code. What is only read while a process starts (`AT_START`) is not passed on this way.

`python -m tests.forks` is the process that has imported everything. It takes requests on its
stdin, a socket, and ends with it. A request is a socket too: over it come a dictionary and the
two files for what the program prints; over it go the program's process id and wait status.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

_CHECKOUT = Path(__file__).resolve().parents[1]
_PROGRAMS = (
    *("database.__main__", "migration.__main__", "mcp_server.__main__"),
    *("scripts.backup", "scripts.restore", "scripts.demo", "scripts.attach_agents"),
    *("scripts.check_database_size", "scripts.make_demo_database"),
)
#: Variables that Python, the C library or a module reads once, at the start.
AT_START = ("PYTHON", "LC_", "LANG", "TZ", "COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR")

#: What some of them import only when it is needed.
_LATE = ("mcp_server.http", "mcp_server.audit.command", "mcp_server.token_command")
_Command = dict[str, Any]


class Forks:
    """The process that programs are forked from; started when it is needed first."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks"],
                cwd=_CHECKOUT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        self._environment = dict(os.environ)

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a program with this environment starts in no other way than its parent did."""
        return all(
            environment.get(name) == self._environment.get(name)
            for name in {*environment, *self._environment}
            if name.startswith(AT_START)
        )

    def run(
        self, arguments: list[str], environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """`python <arguments>` in the checkout, as `subprocess.run` does it."""
        with TemporaryFile() as out, TemporaryFile() as errors:
            with self.start(arguments, environment, out, errors) as fork:
                try:
                    code = fork.wait(timeout)
                except subprocess.TimeoutExpired:
                    fork.send_signal(signal.SIGKILL)
                    raise
            command = [sys.executable, *arguments]
            return subprocess.CompletedProcess(command, code, _text(out), _text(errors))

    def start(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        out: BinaryIO,
        errors: BinaryIO,
    ) -> "Fork":
        """The same, running; what it prints goes to the two files."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._ours, [b"."], [theirs.fileno()])
        command = json.dumps({"arguments": arguments, "environment": dict(environment)})
        socket.send_fds(ours, [b"."], [out.fileno(), errors.fileno()])
        ours.sendall(command.encode() + b"\n")
        return Fork(arguments, ours)


class Fork:
    """A running program, as `subprocess.Popen` shows it."""

    def __init__(self, arguments: list[str], answers: socket.socket) -> None:
        self._arguments = arguments
        self._answers = answers
        self.pid = int(self._line())
        self._code: int | None = None

    def __enter__(self) -> "Fork":
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.wait(0) if self._ended(0) else None

    def wait(self, timeout: float) -> int:
        """Its exit code, as soon as there is one; `timeout` in seconds."""
        if self._code is None:
            if not self._ended(timeout):
                raise subprocess.TimeoutExpired(self._arguments, timeout)
            self._code = os.waitstatus_to_exitcode(int(self._line()))
        return self._code

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, timeout: float) -> bool:
        return self._code is not None or bool(select.select([self._answers], [], [], timeout)[0])

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._answers.recv(1)
            if not byte:
                raise EOFError("the process that programs are forked from has ended")
            line += byte
        return line


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def _import_everything() -> None:
    for name in _PROGRAMS:
        import_module(name)
        # What it imports stays; itself runs anew in each process.
        del sys.modules[name]
    for name in _LATE:
        import_module(name)


def _next_command(requests: socket.socket) -> _Command | None:
    """Fork for each request; in the fork, what is to be run. None at the end of the requests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        told, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not told:
            return None
        with socket.socket(fileno=descriptors[0]) as request:
            if os.fork() == 0:
                requests.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return _fork_and_wait(request)


def _fork_and_wait(request: socket.socket) -> _Command:
    """Fork once more for the program, and tell how it ended; in the fork, what is to be run."""
    _, outputs, _, _ = socket.recv_fds(request, 1, 2)
    with request.makefile("rb") as file:
        command: _Command = json.loads(file.readline())
    process = os.fork()
    if process:
        for output in outputs:
            os.close(output)
        request.sendall(b"%d\n" % process)
        request.sendall(b"%d\n" % os.waitpid(process, 0)[1])
        os._exit(0)
    for descriptor, output in zip((1, 2), outputs, strict=True):
        os.dup2(output, descriptor)
        os.close(output)
    return command


def _run(command: _Command) -> int:
    """Run the program; its exit code."""
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ.clear()
    os.environ.update(command["environment"])
    first, *others = command["arguments"]
    try:
        if first == "-m":
            sys.argv = others
            runpy.run_module(others[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [first, *others]
            sys.path[0] = str(Path(first).parent.absolute())
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:  # noqa: BLE001 (as the interpreter does it)
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> None:
    """End as the interpreter does, except for taking every imported module apart."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serve; in each fork, run its program and end as it ends."""
    with socket.socket(fileno=os.dup(0)) as requests:
        _import_everything()
        gc.freeze()  # else each fork's collector copies the pages of all of it
        command = _next_command(requests)
    if command:
        _end(_run(command))


if __name__ == "__main__":
    main()
