"""The systemd unit: systemd accepts it, and the node has no more rights in it than it needs."""

import shlex
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

from tests.deploy.programs import DEPLOY, needs, path_of

UNIT = DEPLOY / "dnarc.service"


def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("dnarc")
    copy = tmp_path / "dnarc.service"
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/dnarc/bin/dnarc", str(installed)), encoding="utf-8")

    done = subprocess.run(
        [path_of("systemd-analyze"), "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    # Its other lines are about the units of this machine.
    assert [line for line in done.stderr.splitlines() if "dnarc.service" in line] == []


@needs("systemd-analyze")
def test_systemd_finds_the_unit_well_protected() -> None:
    """The exposure goes from 0 (safe) to 100. Most of what remains is the network, which a node needs."""
    done = subprocess.run(
        [path_of("systemd-analyze"), "security", "--no-pager", "--offline=true", "--threshold=20", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_the_unit_gives_the_node_no_more_than_it_needs() -> None:
    service = unit()["Service"]

    for name in (
        "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectKernelTunables", "RestrictNamespaces",
        "ProtectKernelModules", "ProtectControlGroups", "LockPersonality", "MemoryDenyWriteExecute", "DynamicUser",
        "ProtectClock", "RestrictSUIDSGID",
    ):  # fmt: skip
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["StateDirectoryMode"] == "0700"


def test_the_unit_starts_the_node_and_starts_no_wrong_setting_again() -> None:
    service = unit()["Service"]

    assert shlex.split(service["ExecStart"])[1:] == ["serve", "--data", "${STATE_DIRECTORY}"]
    assert service["KillSignal"] == "SIGTERM"
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["LimitNOFILE"]) > 2_000
