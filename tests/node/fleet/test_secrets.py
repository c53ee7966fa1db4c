"""The secrets of a fleet: all processes have the same, from the database or from files that they were given."""

from pathlib import Path

import pytest

from node.disk import CannotStartError, LocalDisk
from node.fleet.secrets import shared_secret

ONE, OTHER = b"\x01" * 4, b"\x02" * 4


class Kept:
    """The values that a database keeps."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def keep(self, name: str, proposed: str) -> str:
        return self.values.setdefault(name, proposed)

    async def kept(self, name: str) -> str | None:
        return self.values.get(name)


async def secret_in(folder: Path, kept: Kept, made: bytes = ONE) -> str:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    return await shared_secret(kept, LocalDisk(), folder / "node.key", len(made), lambda _: made)


async def test_the_first_process_makes_the_secret_and_the_others_get_it(tmp_path: Path) -> None:
    kept = Kept()

    secrets = [await secret_in(tmp_path / "a", kept, ONE), await secret_in(tmp_path / "b", kept, OTHER)]

    assert secrets == [ONE.hex()] * 2
    assert (tmp_path / "b" / "node.key").read_text() == f"{ONE.hex()}\n"
    assert (tmp_path / "b" / "node.key").stat().st_mode & 0o777 == 0o600


async def test_a_secret_from_a_file_does_not_enter_the_database(tmp_path: Path) -> None:
    """An operator who mounts the secret does not want it in every dump."""
    kept = Kept()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "node.key").write_text(OTHER.hex())

    assert await secret_in(tmp_path / "a", kept) == OTHER.hex()
    assert OTHER.hex() not in kept.values.values()
    with pytest.raises(CannotStartError, match=r"node.key is missing, and the database has only its fingerprint"):
        await secret_in(tmp_path / "b", kept)
    assert not (tmp_path / "b" / "node.key").exists()


async def test_a_file_with_another_secret_ends_the_start(tmp_path: Path) -> None:
    """Peers would see two nodes that write to one store."""
    kept = Kept()
    await secret_in(tmp_path / "a", kept)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "node.key").write_text(OTHER.hex())

    with pytest.raises(CannotStartError, match="is not that of the fleet that uses this database"):
        await secret_in(tmp_path / "b", kept)
