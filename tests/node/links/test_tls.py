"""Links over TLS, with the operator's own certificate authority."""

from pathlib import Path
from typing import Any

import pytest

from node.node import Node
from node.settings.loading import SettingsError
from node.store.contract import Peer
from tests.node.authority import Authority
from tests.node.http_sync.sync_network import claims, give, report, sync
from tests.node.links.network import befriend, running, until, until_held


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_a_peer_is_linked_over_tls_if_our_authority_has_signed_its_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    serving = running(tmp_path / "a", tls_certificate=authority.chain, tls_key=authority.key)
    async with serving as a, running(tmp_path / "b", tls_ca=authority.ca) as b:
        assert a.url.startswith("https://")
        await befriend(b, a)
        await give(a, *claims(2))
        await until_held(claims(2), b)

        await give(b, *claims(2, label="back"))
        await until_held(claims(2, label="back"), a)


async def test_a_peer_with_a_certificate_of_an_unknown_authority_is_not_linked(
    tmp_path: Path, authority: Authority
) -> None:
    serving = running(tmp_path / "a", tls_certificate=authority.chain, tls_key=authority.key)
    async with serving as a, running(tmp_path / "b") as b:
        await befriend(b, a, push=False)
        (peer,) = await b.peers.list()

        await until(lambda: b.links.ending_of(peer) is not None, b)

        assert "no known authority has signed its certificate" in _reason(b, peer)


async def test_a_plain_peer_is_synced_over_https(tmp_path: Path, authority: Authority) -> None:
    serving = running(tmp_path / "a", tls_certificate=authority.chain, tls_key=authority.key)
    async with serving as a, running(tmp_path / "b", tls_ca=authority.ca) as b:
        await give(a, *claims(2))
        await b.peers.put(Peer(url=a.url, pull=True))

        result = await sync(b, "pull", a.url)

        assert result == report(records=2, accepted=2, through={"example": claims(2)[-1].timestamp})


WRONG = {
    "a key without a certificate": {"tls_key": "key"},
    "a bad certificate": {"tls_certificate": "key"},
    "a missing certificate": {"tls_certificate": "absent"},
    "a missing authority": {"tls_ca": "absent"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_a_node_with_a_bad_certificate_does_not_start(
    tmp_path: Path, authority: Authority, wrong: dict[str, str]
) -> None:
    paths = {"key": authority.key, "absent": tmp_path / "absent.pem"}
    chosen: dict[str, Any] = {name: paths[value] for name, value in wrong.items()}

    with pytest.raises(SettingsError):
        async with running(tmp_path / "a", **chosen):
            raise AssertionError("it started")


def _reason(node: Node, peer: Peer) -> str:
    ending = node.links.ending_of(peer)
    return "" if ending is None else ending.reason
