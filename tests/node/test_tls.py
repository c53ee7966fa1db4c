"""The node takes a renewed certificate without a restart, and warns before a certificate ends."""

import shutil
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from node.settings.loading import SettingsError
from node.tls import WARNED_S, Certificate, client_context
from tests.node.authority import Authority
from tests.node.links.network import running

NOW_S = 1_000.0
DAY_S = 86_400
VALID_DAYS = 90
MINUTE_S = 60


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def another(tmp_path: Path) -> Authority:
    (tmp_path / "another").mkdir()
    return Authority(tmp_path / "another", days=VALID_DAYS)


def renew(old: Authority, new: Authority) -> None:
    """Replace the old certificate and its key."""
    shutil.copy(new.chain, old.chain)
    shutil.copy(new.key, old.key)


async def test_a_renewed_certificate_is_served_without_a_restart(
    tmp_path: Path, authority: Authority, another: Authority
) -> None:
    node = running(tmp_path / "node", tls_certificate=authority.chain, tls_key=authority.key)
    async with node as served, aiohttp.ClientSession() as session:
        renew(authority, another)

        served.reload()

        async with session.get(f"{served.url}/health", ssl=client_context(another.ca)) as response:
            assert response.status == 200


async def test_a_file_that_cannot_be_used_leaves_the_old_certificate_in_use(
    tmp_path: Path, authority: Authority, another: Authority
) -> None:
    """For a moment only one of the two files is renewed, or a file is half written."""
    node = running(tmp_path / "node", tls_certificate=authority.chain, tls_key=authority.key)
    async with node as served, aiohttp.ClientSession() as session:
        shutil.copy(another.chain, authority.chain)

        served.reload()

        async with session.get(f"{served.url}/health", ssl=client_context(authority.ca)) as response:
            assert response.status == 200
        assert any("the one read before is served" in warning for warning in served.warnings())
        shutil.copy(another.key, authority.key)
        served.reload()
        assert not any("the one read before is served" in warning for warning in served.warnings())


def test_a_certificate_that_ends_within_two_weeks_causes_a_warning(another: Authority) -> None:
    certificate = Certificate(another.chain, another.key)
    end_s = time.time() + VALID_DAYS * DAY_S

    [warning] = certificate.warnings(end_s - WARNED_S + MINUTE_S)

    assert certificate.warnings(end_s - WARNED_S - MINUTE_S) == []
    assert "ends in 14.0 days" in warning


def test_a_certificate_that_has_ended_causes_a_warning(tmp_path: Path) -> None:
    ended = Authority(tmp_path, days=-0.5)

    [warning] = Certificate(ended.chain, ended.key).warnings(NOW_S)

    assert "has ended" in warning


def test_a_new_authority_is_accepted_without_a_restart(authority: Authority, another: Authority) -> None:
    before = client_context(authority.ca)
    assert client_context(authority.ca) is before

    shutil.copy(another.ca, authority.ca)

    assert client_context(authority.ca) is not before
    assert client_context(authority.ca).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("text", ["", "hello", '{"a": 1}'])
def test_a_file_without_a_certificate_is_told_as_such(tmp_path: Path, text: str) -> None:
    file = tmp_path / "node.pem"
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        Certificate(file, None)

    words = "a file holds no certificate or no key in PEM, or the key needs a passphrase"
    assert str(refused.value) == f"the certificate {file} cannot be used: {words}"
