"""What is found about the machine."""

from pathlib import Path

import pytest

from node.checkup.finding import Level
from node.checkup.machine import check_file_system, check_signatures

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /srv/nfs nfs4 rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /srv/nfs/local xfs rw 0 0
/dev/sdc1 /my\\040disk ext4 rw 0 0
overlay / overlay rw 0 0
"""


def test_the_installed_libsodium_decides_as_the_network_does() -> None:
    assert check_signatures().level is Level.OK


@pytest.mark.parametrize(
    ("folder", "level", "kind"),
    [
        ("/var/lib/dnarc", Level.OK, "overlay"),
        ("/srv/nfs/dnarc", Level.FAIL, "nfs4"),
        ("/srv/nfs/local/dnarc", Level.OK, "xfs"),
        ("/srv/nfsx", Level.OK, "overlay"),
        ("/run/dnarc", Level.WARN, "tmpfs"),
        ("/my disk/dnarc", Level.OK, "ext4"),
    ],
)
def test_a_folder_belongs_on_a_local_disk(folder: str, level: Level, kind: str) -> None:
    finding = check_file_system(Path(folder), MOUNTS)

    assert finding.level is level
    assert kind in finding.detail


def test_a_system_that_does_not_tell_its_mounts_is_a_warning() -> None:
    assert check_file_system(Path("/var/lib/dnarc"), "").level is Level.WARN
