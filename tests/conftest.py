"""What every test shares: how hypothesis searches, what the garbage collector looks at, and a PostgreSQL server for the
tests that need one.

Runs stay random, in CI too, so that each of them looks at new examples; a failure prints the blob that repeats it.
`pytest --hypothesis-profile=thorough` looks twenty times as long.

Collected tests live as long as the process. The garbage collector would walk all of them again and again, and takes
half of the CPU time of the collection. So it is off during the collection, and ignores these objects afterwards.

Each process that imports aiohttp reads the authorities of this machine, which takes 0.03 s. No test needs them, so the
tests and the processes that they start find an empty file in their place.

Nodes are processes that need no imports (`tests/forked.py`).

Temporary folders are in memory if there is room for them. A node makes its files durable, so on a disk a start waits
six times as long as it works. `TMPDIR` names another place.

A run that a script started in the background ignores Ctrl-C, and every command that a test starts would inherit that.
"""

import gc
import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from simulations.processes import process
from tests.forked import ForkedProcess
from tests.postgres import database_url, schema_url, server

__all__ = ["database_url", "schema_url", "server"]

# Everything is named: where CI is set, hypothesis starts from a profile of its own that repeats the same examples.
# `too_slow` and the deadline measure the wall clock, so they would fail a test only because the machine is busy.
settings.register_profile(
    "dnarc",
    derandomize=False,
    deadline=None,
    print_blob=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("dnarc"), max_examples=2_000)
settings.load_profile("dnarc")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["SSL_CERT_FILE"] = os.devnull

process.start_process = ForkedProcess

MEMORY = "/dev/shm"
MEMORY_BYTES_MIN = 4 * 2**30
"""Free space that all workers together need for their folders."""

if os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN:
    os.environ.setdefault("TMPDIR", MEMORY)
    tempfile.tempdir = None  # pytest has already looked for a folder

gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()
