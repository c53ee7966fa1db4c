"""The honest client serves all attacks of a session, and ends with it."""

from collections.abc import Iterator

import pytest

from tests.attack.harness import honest


@pytest.fixture(scope="session", autouse=True)
def _honest_client_ends() -> Iterator[None]:
    yield
    honest.close()
