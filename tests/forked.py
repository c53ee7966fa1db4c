"""Python programs as processes that need no imports: each is a fork of a process that has imported the whole node.

Imports take 0.8 s of the 0.95 s of processor time that a node takes to start and stop on a slow core, and the tests
start hundreds of nodes and commands. `ForkedProcess` is a `subprocess.Popen` whose program begins with a fork in the
place of an `exec`:

    test                  nursery (one for each worker)      program
      --- argv, env, cwd, descriptors -->
                            fork, and fork again ---------->   runs `__main__` to its end
      <-- its pid ----------
      ------------------ signals, pipes, wait -------------->

The program is a child of the test, with its own pid, descriptors, environment and exit code. The nursery has one thread
and starts no event loop, so a fork copies no lock that somebody holds. The interpreter of the program begins and ends
as any other one does; only `sys.modules` is full already.

So these programs do not show that the right modules are imported. `exec` starts the programs of a shell, of a benchmark
and of a simulation, those with a `preexec_fn` or another variable for Python itself, and all of them on other systems
than Linux. A forked program has the resource limits that the tests had when the nursery began.
"""

import atexit
import contextlib
import ctypes
import inspect
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
from functools import cache
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any, Final

REQUEST_BYTES_MAX: Final = 2**17
DESCRIPTORS: Final = 3
PR_SET_CHILD_SUBREAPER: Final = 36

READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "SSL_", "LD_", "MALLOC_")
"""How the names of variables begin that are read before the program begins, or by an import."""

LEFT_ALONE: Final = {
    "executable": None, "preexec_fn": None, "close_fds": True, "pass_fds": (), "shell": False, "restore_signals": True,
    "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1,
}  # fmt: skip
"""The arguments of a process that may be forked: a process for which one of them differs needs `exec`."""

_lock = threading.Lock()


class ForkedProcess(subprocess.Popen[Any]):
    """A Python program as a process. Any other program is started as `subprocess.Popen` starts it."""

    def _execute_child(self, *given: Any) -> None:
        """The step of `Popen` that makes the process: pipes, waits and signals are left as they are."""
        named = inspect.signature(super()._execute_child).bind(*given).arguments  # type: ignore[misc]
        arguments = [os.fsdecode(each) for each in named["args"]] if isinstance(named["args"], list) else []
        environment = dict(os.environ if named["env"] is None else named["env"])
        if not (_is_python(arguments) and _may_be_forked(named, environment)):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        request = {
            "arguments": arguments,
            "environment": environment,
            "folder": os.fsdecode(named["cwd"] or os.getcwd()),
            "is_session": named["start_new_session"],
        }
        wanted = (named["p2cread"], named["c2pwrite"], named["errwrite"])
        descriptors = [number if each == -1 else each for number, each in enumerate(wanted)]
        try:
            with _lock:
                self.pid = _nursery().fork(json.dumps(request).encode(), descriptors)
            self._child_created = True
        finally:
            pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(named[pipe] for pipe in pipes))  # type: ignore[attr-defined]


def _is_python(arguments: list[str]) -> bool:
    """Whether this runs our interpreter on a text, a module, or a script of this environment."""
    match arguments:
        case [sys.executable, "-c" | "-m", _, *_]:
            return True
        case [script, *_]:
            return script == str(Path(sys.executable).with_name("dnarc"))
    return False


def _may_be_forked(named: dict[str, Any], environment: dict[str, str]) -> bool:
    is_plain = all(named.get(name, value) == value for name, value in LEFT_ALONE.items())
    return (
        sys.platform == "linux" and is_plain and _read_at_start(environment) == _read_at_start(_nursery().environment)
    )


def _read_at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START) and value}


class _Nursery:
    """The process that has imported everything, as the tests see it."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=Path(__file__).parent.parent)
        theirs.close()
        atexit.register(self._end)

    def fork(self, request: bytes, descriptors: list[int]) -> int:
        """Start a program. Returns its pid.

        A program belongs to the nearest subreaper above it when its parent ends, which is what it is forked for.
        We are a subreaper for this moment only: other orphans belong to whom they belong without us.
        """
        _be_subreaper(True)
        try:
            socket.send_fds(self._socket, [request], descriptors)
            return int(self._socket.recv(64))
        finally:
            _be_subreaper(False)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


_nursery = cache(_Nursery)


def _be_subreaper(is_one: bool) -> None:
    done = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0)
    assert done == 0, "Linux has this since 3.4"


def serve(requests: socket.socket) -> list[str]:
    """Fork programs until the tests end. Returns in each program, with its arguments."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, DESCRIPTORS)
        if not request:
            sys.exit()
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            program = os.fork()
            if program:
                os.write(writing, str(program).encode())
                os._exit(0)
            for number in (reading, writing, requests.detach()):
                os.close(number)
            return _begin(json.loads(request), descriptors)
        os.waitpid(between, 0)
        requests.send(os.read(reading, 64))
        for number in (reading, writing, *descriptors):
            os.close(number)


def _begin(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    """Give this process what it would have after an `exec`. Returns its arguments."""
    if request["is_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
    for each in descriptors:
        os.close(each)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        before = getattr(sys, name)
        file = open(number, mode, encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
        if name == "stderr" and isinstance(file, TextIOWrapper):
            file.reconfigure(line_buffering=True)  # as Python opens it
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    return list(request["arguments"])


def run(arguments: list[str]) -> None:
    """Run the program to its end."""
    match arguments:
        case [_, "-c", text, *rest]:
            sys.argv = ["-c", *rest]
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(text, main.__dict__)
        case [_, "-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *rest]:
            sys.argv = [script, *rest]
            runpy.run_path(script, run_name="__main__")


def import_everything() -> None:
    from node.cli import run_node

    run_node._import_structlog()  # before rich is imported, as a node does
    import node

    for module in pkgutil.walk_packages(node.__path__, "node."):
        with contextlib.suppress(ImportError):  # of a library that is not installed
            import_module(module.name)


if __name__ == "__main__":
    import_everything()
    import gc

    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    try:
        arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit()
    run(arguments)
