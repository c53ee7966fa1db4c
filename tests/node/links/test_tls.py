"""Links over TLS, with an authority of the operator's own."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.node import Node
from node.settings import SettingsError
from node.store import Peer
from tests.node.links.network import befriend, running, until, until_held
from tests.node.sync_network import claims, give, report, sync

_DAY = timedelta(days=1)


class Authority:
    """An authority that vouches for 127.0.0.1: `ca` is its certificate, `chain` the node's, `key` the node's key."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.chain, self.key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
        ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        own_name, name = _name("authority"), _name("node")
        self.ca.write_bytes(_pem(_certificate(own_name, own_name, ours, ours, x509.BasicConstraints(True, None))))
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        self.chain.write_bytes(_pem(_certificate(name, own_name, theirs, ours, alternative)))
        self.key.write_bytes(
            theirs.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuers_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)
    return builder.add_extension(extension, critical=True).sign(issuers_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


async def test_a_peer_is_linked_over_tls_where_our_authority_vouches_for_it(
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


async def test_a_peer_that_only_others_vouch_for_is_not_linked(tmp_path: Path, authority: Authority) -> None:
    serving = running(tmp_path / "a", tls_certificate=authority.chain, tls_key=authority.key)
    async with serving as a, running(tmp_path / "b") as b:
        await befriend(b, a, push=False)
        (peer,) = await b.peers.list()

        await until(lambda: b.links.ending_of(peer) is not None, b)

        assert "CERTIFICATE_VERIFY_FAILED" in _reason(b, peer)


async def test_a_plain_peer_is_synced_over_https(tmp_path: Path, authority: Authority) -> None:
    serving = running(tmp_path / "a", tls_certificate=authority.chain, tls_key=authority.key)
    async with serving as a, running(tmp_path / "b", tls_ca=authority.ca) as b:
        await give(a, *claims(2))
        await b.peers.put(Peer(url=a.url, pull=True))

        result = await sync(b, "pull", a.url)

        assert result == report(records=2, accepted=2, through={"example": claims(2)[-1].timestamp})


WRONG = {
    "a key without a certificate": {"tls_key": "key"},
    "a certificate that is none": {"tls_certificate": "key"},
    "a certificate that is missing": {"tls_certificate": "absent"},
    "an authority that is missing": {"tls_ca": "absent"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_a_node_with_a_wrong_certificate_does_not_start(
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
