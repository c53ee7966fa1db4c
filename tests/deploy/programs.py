"""The programs that read the files of deploy/, and the reason why a check by one of them is skipped.

A file that no program reads in a test can be wrong for years. `bring_programs` brings most of these programs.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

DEPLOY: Final = ROOT / "deploy"

READERS: Final = {
    "Caddyfile": "caddy",
    "Dockerfile": "hadolint",
    "alerts.yml": "promtool",
    "compose.yaml": "docker-compose",
    "dnarc.service": "systemd-analyze",
    "fleet.Caddyfile": "caddy",
    "grafana.json": "promtool",
    "nginx.conf": "nginx",
}
"""The program that reads each file in a test. Grafana is not in Debian, so promtool reads the dashboard's queries."""

SCRIPTS: Final = (".ci/run", "tests/deploy/bring_programs", "tests/explorer/bring_chromium")
"""The shell scripts, which shellcheck reads."""

_UNPACKED: Final = ROOT / ".programs" / "usr"
_FOLDERS: Final = (Path(sys.executable).parent, _UNPACKED / "bin", _UNPACKED / "sbin", Path("/usr/sbin"))


def find(program: str) -> str | None:
    """The path of a program, None if it is not here."""
    return shutil.which(program, path=os.pathsep.join((os.environ["PATH"], *map(str, _FOLDERS))))


def path_of(program: str) -> str:
    """The path of a program that is here."""
    path = find(program)
    assert path is not None, program
    return path


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test if the program is not here."""
    read = [f"deploy/{file}" for file, reader in READERS.items() if reader == program] or SCRIPTS
    files = " and ".join(read)
    return pytest.mark.skipif(find(program) is None, reason=f"{program} is not here, so it did not check {files}")
