"""A certificate authority of an operator, and a certificate that it has signed for a node on loopback."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Files in PEM: `ca` is the authority's certificate, `chain` the node's, `key` the node's key."""

    def __init__(self, folder: Path, *, days: float = 1.0, address: str = "127.0.0.1") -> None:
        """`days` is how long the certificates are valid from now on. The node's is for this address."""
        self._days = timedelta(days=days)
        self.ca, self.chain, self.key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
        ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        own_name, name = _name("authority"), _name("node")
        self.ca.write_bytes(_pem(self._certificate(own_name, own_name, ours, ours, x509.BasicConstraints(True, None))))
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        self.chain.write_bytes(_pem(self._certificate(name, own_name, theirs, ours, alternative)))
        self.key.write_bytes(
            theirs.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _certificate(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuers_key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - _DAY).not_valid_after(now + self._days)
        return builder.add_extension(extension, critical=True).sign(issuers_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
