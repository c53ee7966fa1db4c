"""What commands say on a machine that fails: a disk that is full or read-only, and a limit that is reached.

The file systems are real ones in memory. They are mounted in a namespace of the test's own, so that they end with it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.output.failures import Exit
from node.node import Node
from node.settings.settings import Settings

TIMEOUT_S = 120
NOWHERE = "--node http://127.0.0.1:1"

_MOUNT = 'mount -t tmpfs -o "$1" tmpfs "$2" && cd "$2" && eval "$3"'

_can_mount = shutil.which("unshare") is not None and os.geteuid() == 0
needs_mounts = pytest.mark.skipif(not _can_mount, reason="only root may mount file systems")


def shell(script: str, *arguments: str) -> tuple[int, str]:
    """Run a script with `dnarc` as a function in it. Returns its exit code and its last line of output."""
    dnarc = f"dnarc() {{ {sys.executable} -c 'from node.cli import main; main()' \"$@\"; }}\n"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        ["sh", "-c", dnarc + script, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip().rpartition("\n")[2]


def on_disk(folder: Path, options: str, script: str) -> tuple[int, str]:
    """Run a script in a folder that is a file system of its own, mounted with these options."""
    folder.mkdir(exist_ok=True)
    unshared = f"unshare --mount sh -c '{_MOUNT}' sh \"$@\""
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this needs the right to mount file systems")
    return shell(unshared, options, str(folder), f"{_DNARC}{script}")


_DNARC = f"""dnarc() {{ {sys.executable} -c "from node.cli import main; main()" "$@"; }}; """


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The data folder of a node that has stopped."""
    folder = tmp_path / "data"
    async with Node(Settings(port=0, data=folder, sync_interval=None)):
        pass
    return folder


READ_ONLY = "mount the file system writable"


@needs_mounts
@pytest.mark.parametrize(
    ("command", "begin", "remedy"),
    [
        (
            "serve --port 0 --data data",
            "dnarc: cannot_start: the data folder data cannot be used: read-only",
            READ_ONLY,
        ),
        (
            f"doctor --json --data data {NOWHERE} 2>&1 | grep -o '.check.:.database.[^}}]*'",
            '"check":"database"',
            READ_ONLY,
        ),
        ("rebuild --data data", "dnarc: cannot_start: the data folder data cannot be used: read-only", READ_ONLY),
        (f"peers list --data data {NOWHERE}", "dnarc: storage: data/dnarc.db cannot be used: read-only", READ_ONLY),
        ("backup --data data copy", "dnarc: machine: ", READ_ONLY),
        ("keygen k.key", "dnarc: keyfile: k.key cannot be written: read-only", READ_ONLY),
    ],
)
def test_a_read_only_disk_is_to_be_mounted_writable(
    tmp_path: Path, data: Path, command: str, begin: str, remedy: str
) -> None:
    """It must not be taken for a damaged store, because then somebody restores a backup over good records."""
    script = f"cp -r {data} data && mount -o remount,ro . && dnarc {command}"

    _, line = on_disk(tmp_path / "mounted", "size=8m", script)

    assert line.startswith(begin)
    assert remedy in line
    assert "backup" not in line or "copy" in command


@needs_mounts
@pytest.mark.parametrize(
    ("options", "use_up", "reason"),
    [
        ("size=16k", "dd if=/dev/zero of=filling 2>/dev/null", "no space is free on the disk"),
        ("nr_inodes=4", "touch 1 2 3 4 5 6 7 8 2>/dev/null", "no inode is free on the disk"),
    ],
)
def test_a_disk_without_room_is_told_from_one_without_inodes(
    tmp_path: Path, options: str, use_up: str, reason: str
) -> None:
    code, line = on_disk(tmp_path / "mounted", options, f"{use_up}; dnarc serve --port 0 --data data")

    assert code == Exit.MACHINE
    assert line.startswith("dnarc: cannot_start: ")
    assert f": {reason} (" in line


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    code, line = shell(f"ulimit -f 8; dnarc serve --port 0 --data {tmp_path / 'data'}")

    assert code == Exit.MACHINE
    assert line.startswith(f"dnarc: storage: {tmp_path / 'data' / 'dnarc.db'}: a write failed (disk I/O error) ")
    assert "ulimit -f" in line


def test_a_full_output_is_named(tmp_path: Path) -> None:
    """No byte can be written to `/dev/full`."""
    code, line = shell("dnarc version > /dev/full")

    assert code == Exit.MACHINE
    assert "no space is free" in line


@needs_mounts
def test_a_disk_that_fills_up_while_a_node_runs_is_named_when_the_node_ends(tmp_path: Path) -> None:
    script = f"""
        dnarc keygen {tmp_path / "key"} >/dev/null && mkfifo url
        {sys.executable} -c "from node.cli import main; main()" serve --port 0 --data data --disk-free-bytes-min 0 \\
            >url 2>{tmp_path / "log"} & node=$!
        exec 3<url && read -r address <&3
        dd if=/dev/zero of=filling 2>/dev/null
        dnarc claim example.org label n=1 --key {tmp_path / "key"} --node $address >/dev/null 2>&1
        wait $node; code=$?
        tail -1 {tmp_path / "log"}
        exit $code
    """

    code, line = on_disk(tmp_path / "mounted", "size=2m", script)

    assert code == Exit.MACHINE
    assert line.startswith("dnarc: storage: the store failed: data/dnarc.db: no space is free on the disk (free space ")
