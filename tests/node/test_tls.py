"""A certificate is renewed while the node runs, and one that ends soon is told."""

import shutil
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from node.tls import WARNED_S, Certificate, client_context
from tests.node.authority import Authority
from tests.node.links.network import running

NOW_S = 1_000.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def another(tmp_path: Path) -> Authority:
    (tmp_path / "another").mkdir()
    return Authority(tmp_path / "another", days=90)


def renew(old: Authority, new: Authority) -> None:
    """Put the new certificate and its key in the place of the old ones."""
    shutil.copy(new.chain, old.chain)
    shutil.copy(new.key, old.key)


async def test_a_new_certificate_is_served_without_a_restart(
    tmp_path: Path, authority: Authority, another: Authority
) -> None:
    node = running(tmp_path / "node", tls_certificate=authority.chain, tls_key=authority.key)
    async with node as it, aiohttp.ClientSession() as session:
        renew(authority, another)

        it.reload()

        async with session.get(f"{it.url}/health", ssl=client_context(another.ca)) as response:
            assert response.status == 200


async def test_a_file_that_cannot_be_used_leaves_the_certificate_in_place(
    tmp_path: Path, authority: Authority, another: Authority
) -> None:
    """The file is written in pieces, or only one of the two has been renewed yet."""
    node = running(tmp_path / "node", tls_certificate=authority.chain, tls_key=authority.key)
    async with node as it, aiohttp.ClientSession() as session:
        shutil.copy(another.chain, authority.chain)

        it.reload()

        async with session.get(f"{it.url}/health", ssl=client_context(authority.ca)) as response:
            assert response.status == 200
        assert any("the one read before is served" in warning for warning in it.warnings())
        shutil.copy(another.key, authority.key)
        it.reload()
        assert not any("the one read before is served" in warning for warning in it.warnings())


def test_a_certificate_that_ends_within_two_weeks_is_warned_of(another: Authority) -> None:
    certificate = Certificate(another.chain, another.key)
    end_s = time.time() + 90 * 86_400

    [warning] = certificate.warnings(end_s - WARNED_S + 60)

    assert certificate.warnings(end_s - WARNED_S - 60) == []
    assert "ends in 14.0 days" in warning


def test_a_certificate_that_has_ended_is_told(tmp_path: Path) -> None:
    ended = Authority(tmp_path, days=-0.5)

    [warning] = Certificate(ended.chain, ended.key).warnings(NOW_S)

    assert "has ended" in warning


def test_a_new_authority_is_believed_without_a_restart(authority: Authority, another: Authority) -> None:
    before = client_context(authority.ca)
    assert client_context(authority.ca) is before

    shutil.copy(another.ca, authority.ca)

    assert client_context(authority.ca) is not before
    assert client_context(authority.ca).verify_mode is ssl.CERT_REQUIRED
