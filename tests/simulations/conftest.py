"""The commands of the simulator write as into a file."""

import pytest


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset COLUMNS, because pytest-xdist sets it in its workers and it would wrap the output."""
    monkeypatch.delenv("COLUMNS", raising=False)
