"""A real node in a process of its own, and a way to run commands beside it."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from node.cli import main
from tests.forked import ForkedProcess

TIMEOUT_S = 120


class Result(NamedTuple):
    """How a command ended: its exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Served:
    """A node that runs in the folder: `dnarc serve` on a free port, with more variables in its environment."""

    def __init__(self, folder: Path, *flags: str, **environment: str) -> None:
        self.data = folder / "data"
        command = [sys.executable, "-c", "from node.cli import main; main()", "serve", "--port", "0", *flags]
        self.process = ForkedProcess(
            [*command, "--data", str(self.data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def stop(self) -> tuple[str, str]:
        """End it, and give what else it said on stdout and stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=TIMEOUT_S)

    def run(self, *arguments: str) -> Result:
        """A command that asks this node."""
        return run(*arguments, "--node", self.url)


def run(*arguments: str, encoding: str = "utf-8", **environment: str) -> Result:
    """A command in this process: as the shell would run it, without the time that a new one takes to start.

    `encoding`: that of its stdout. `environment`: more variables.
    """
    out, err = io.TextIOWrapper(io.BytesIO(), encoding), io.StringIO()
    with (
        _more_variables(environment),
        _log_as_before(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(arguments)
    out.seek(0)
    code = ended.value.code
    assert isinstance(code, int)
    return Result(code, out.read(), err.getvalue())


@contextlib.contextmanager
def _more_variables(environment: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        yield


@contextlib.contextmanager
def _log_as_before() -> Iterator[None]:
    """A command may choose how its process logs. The tests after it get back what there was."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**before)


def run_apart(*arguments: str, given: str = "", **environment: str) -> Result:
    """A command in a process of its own, with something on stdin or in its environment."""
    command = [sys.executable, "-c", "from node.cli import main; main()", *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ForkedProcess(command, text=True, env={**os.environ, **environment}, **pipes) as process:
        try:
            out, err = process.communicate(given, TIMEOUT_S)
        finally:
            process.kill()
    return Result(process.returncode, out, err)


def start(*arguments: str, **streams: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own. Ctrl-C reaches it even if the tests themselves ignore Ctrl-C."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from node.cli import main; main()"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return ForkedProcess([sys.executable, "-c", program, *arguments], **pipes | streams)


@pytest.fixture(scope="session", autouse=True)
def _wide_output() -> None:
    """Output that no terminal shows is wide, unless somebody says otherwise: pytest-xdist does, in its workers."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session", autouse=True)
def _no_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands see no configuration of the user who runs the tests."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("configuration"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One node for all tests of a module, each of which takes labels of its own."""
    node = Served(tmp_path_factory.mktemp("node"))
    yield node
    node.stop()


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One node for many modules. Each test takes labels of its own, and expects nothing of what else is there.

    A start takes most of the processor time of such a test, so a module has a node of its own, `served`, only if it
    needs to know all that its node holds.
    """
    node = Served(tmp_path_factory.mktemp("common"))
    yield node
    node.stop()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """The files of two keys."""
    for name in ("alice.key", "bob.key"):
        assert run("keygen", str(tmp_path / name)).code == 0
    return str(tmp_path / "alice.key"), str(tmp_path / "bob.key")
