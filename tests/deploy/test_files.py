"""Every file under deploy/ is read in a test by the program that it is for."""

from tests.deploy.programs import DEPLOY, READERS
from tests.paths import ROOT


def test_every_file_has_a_program_that_reads_it_in_a_test() -> None:
    """A new file needs a line in `READERS` and a test that uses its program."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "deploy").glob("test_*.py"))

    assert {path.name for path in DEPLOY.iterdir()} == set(READERS)
    assert [reader for reader in READERS.values() if f'needs("{reader}")' not in sources] == []
