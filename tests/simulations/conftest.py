"""Commands of the simulator write as they do into a file."""

import pytest


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-xdist sets COLUMNS in its workers, which would wrap what is written."""
    monkeypatch.delenv("COLUMNS", raising=False)
