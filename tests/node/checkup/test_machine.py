"""What is said of the machine."""

from pathlib import Path

import pytest

from node.checkup.finding import State
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
    assert check_signatures().state is State.OK


@pytest.mark.parametrize(
    ("folder", "state", "kind"),
    [
        ("/var/lib/dnarc", State.OK, "overlay"),
        ("/srv/nfs/dnarc", State.FAIL, "nfs4"),
        ("/srv/nfs/local/dnarc", State.OK, "xfs"),
        ("/srv/nfsx", State.OK, "overlay"),
        ("/run/dnarc", State.WARN, "tmpfs"),
        ("/my disk/dnarc", State.OK, "ext4"),
    ],
)
def test_a_folder_belongs_on_a_local_disk(folder: str, state: State, kind: str) -> None:
    finding = check_file_system(Path(folder), MOUNTS)

    assert finding.state is state
    assert kind in finding.detail


def test_a_system_that_does_not_tell_is_warned_of() -> None:
    assert check_file_system(Path("/var/lib/dnarc"), "").state is State.WARN
