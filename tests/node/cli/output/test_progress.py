"""Progress on stderr: only a terminal shows it, so that logs and pipes get nothing but what counts."""

import contextlib
import io
from pathlib import Path

import pytest

from node.cli.output.progress import working
from tests.node.cli.conftest import run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("err", "is_shown"), [(Terminal(), True), (io.StringIO(), False)], ids=["terminal", "pipe"])
def test_work_of_unknown_length_shows_that_it_goes_on(err: io.StringIO, is_shown: bool) -> None:
    with contextlib.redirect_stderr(err), working("examining"):
        pass

    assert ("examining" in err.getvalue()) is is_shown


def test_a_command_that_works_for_long_writes_nothing_else_to_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "claims.jsonl"
    file.write_text("")

    done = run("verify", str(file))

    assert (done.code, done.out, done.err) == (0, "0 good, 0 bad\n", "")
