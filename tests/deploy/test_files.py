"""Every file under deploy/, and every shell script, is read in a test by a program that knows its form."""

import re
import subprocess

from tests.deploy.programs import DEPLOY, READERS, SCRIPTS, needs, path_of
from tests.paths import ROOT


def test_every_file_has_a_program_that_reads_it_in_a_test() -> None:
    """A new file needs a line in `READERS` and a test that uses its program. Plug-ins are run in tests of their own."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "deploy").glob("test_*.py"))

    assert {path.name for path in DEPLOY.iterdir() if path.is_file()} == set(READERS)
    assert [reader for reader in READERS.values() if f'needs("{reader}")' not in sources] == []


def test_every_shell_script_is_known() -> None:
    files = [*(ROOT / ".ci").iterdir(), *(ROOT / "tests").rglob("*")]

    scripts = {file for file in files if file.is_file() and re.match(rb"#!.*sh\b", file.read_bytes())}

    assert scripts == {ROOT / script for script in SCRIPTS}


@needs("shellcheck")
def test_shellcheck_finds_nothing_wrong_with_the_scripts() -> None:
    done = subprocess.run(
        [path_of("shellcheck"), *SCRIPTS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")
