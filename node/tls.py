"""TLS: the certificate that this node shows, and whose certificates it believes when it dials (RFC 8446).

A `wss` or `https` peer is believed when a known authority vouches for its name: one that the system knows, or the
operator's own (`tls_ca`), which then is believed alone. It says nothing about the peer's node key, which is proven
inside of the link.

Certificates are renewed while a node runs. So the files are looked at now and then, and read again when they changed; a
file that cannot be used leaves the certificate in place that was read before. Connections that are open keep theirs.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Final

import structlog

from node.settings import Settings, SettingsError

LOOK_EVERY_S: Final = 10.0
"""Seconds between two looks at the files of the certificate."""

WARNED_S: Final = 14 * 86_400.0
"""A certificate that ends within two weeks is warned of: whatever renews it has failed by then."""

_DAY_S: Final = 86_400.0

_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""

Stamp = tuple[tuple[int, int, int], ...]
"""Which files these are and when they were written: inode, size and nanoseconds of each."""

log = structlog.get_logger()


class Certificate:
    """The certificate that a node serves HTTPS with. `context` stays the same while its certificate is renewed."""

    def __init__(self, chain: Path, key: Path | None) -> None:
        """`chain`: PEM file of the certificates. `key`: PEM file of the private key, None: it is in `chain`.

        Raises:
            SettingsError: the files cannot be used.
        """
        self._chain = chain
        self._key = key
        self._stamp: Stamp | None = None
        self._problem: str | None = None
        self._ends_s = 0.0
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self._read()
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"the certificate {chain} cannot be used: {error}") from error

    def look(self) -> None:
        """Read the files again, if they changed."""
        try:
            if _stamp_of(self._chain, self._key) == self._stamp:
                return
            self._read()
        except OSError as error:
            problem = f"the certificate {self._chain} cannot be used, and the one read before is served: {error}"
            if problem != self._problem:
                log.error("certificate not read", path=str(self._chain), reason=str(error))
            self._problem = problem
        else:
            self._problem = None
            log.info("certificate read", path=str(self._chain))

    async def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def warnings(self, now_s: float) -> list[str]:
        """What somebody should look at. `now_s`: seconds since the Unix epoch."""
        found = [] if self._problem is None else [self._problem]
        left_s = self._ends_s - now_s
        if left_s < WARNED_S:
            when = f"ends in {left_s / _DAY_S:.1f} days" if left_s > 0 else "has ended: clients refuse it"
            found.append(f"the certificate {self._chain} {when}; the node reads a new file by itself")
        return found

    def _read(self) -> None:
        """Try the files in a context of their own first, as a half-read pair would break the one in use."""
        stamp = _stamp_of(self._chain, self._key)
        tried = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tried.load_cert_chain(self._chain, self._key)
        self._ends_s = _end_of(tried, self._chain)
        self.context.load_cert_chain(self._chain, self._key)
        self._stamp = stamp


def certificate_of(settings: Settings) -> Certificate | None:
    """What to serve HTTPS with; None where no certificate is set. Raises: SettingsError: it cannot be used."""
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise SettingsError("tls_key is set and tls_certificate is not: a node serves HTTPS with both")
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def client_context(authority: Path | None) -> ssl.SSLContext:
    """What to dial `wss` and `https` with. It is kept, because reading takes tens of milliseconds, and read again when
    the file of the authority changed.

    Raises:
        SettingsError: the authority's certificate cannot be read.
    """
    try:
        stamp = None if authority is None else _stamp_of(authority, None)
        kept = _client_contexts.get(authority)
        if kept is None or kept[0] != stamp:
            kept = _client_contexts[authority] = (stamp, ssl.create_default_context(cafile=authority))
    except OSError as error:
        raise SettingsError(f"the authority's certificate {authority} cannot be used: {error}") from error
    return kept[1]


_client_contexts: dict[Path | None, tuple[Stamp | None, ssl.SSLContext]] = {}


def _stamp_of(*paths: Path | None) -> Stamp:
    stats = [path.stat() for path in paths if path is not None]
    return tuple((it.st_ino, it.st_size, it.st_mtime_ns) for it in stats)


def _end_of(server: ssl.SSLContext, chain: Path) -> float:
    """When the certificate ends, in seconds since the Unix epoch; 0 if it has ended.

    A handshake in memory tells, as the standard library reads no certificate by itself. The client believes this very
    certificate.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(chain)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialling = client.wrap_bio(to_client, to_server)
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for end in (dialling, serving, dialling, serving):
            _shake(end)
    except ssl.SSLCertVerificationError as error:
        return 0.0 if error.verify_code == _EXPIRED else float("inf")
    shown = dialling.getpeercert()
    assert shown is not None, "a server shows its certificate"
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def _shake(end: ssl.SSLObject) -> None:
    with contextlib.suppress(ssl.SSLWantReadError):
        end.do_handshake()
