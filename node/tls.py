"""TLS: the certificate that this node shows, and which certificates it accepts when it dials (RFC 8446).

The node accepts the certificate of a `wss` or `https` peer if a known authority has signed it for the peer's host name.
The known authorities are those of the system, or only the operator's own (`tls_ca`) if there is one. A certificate says
nothing about the peer's node key, which the peer proves inside the link.

Certificates are renewed while a node runs. So the node looks at the files every few seconds, and reads them again if
they have changed. If the new files cannot be used, the old certificate stays. Open connections keep their certificate.
"""

import asyncio
import contextlib
import os
import ssl
from pathlib import Path
from typing import Final

import structlog

from node.faults import of_file
from node.settings.loading import SettingsError
from node.settings.settings import Settings

LOOK_EVERY_S: Final = 10.0
"""Seconds between two looks at the files of the certificate."""

WARNED_S: Final = 14 * 86_400.0
"""Seconds before its end from which on a certificate causes a warning. What renews it has failed by then."""

_DAY_S: Final = 86_400.0

_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""

Stamp = tuple[tuple[int, int, int], ...]
"""Tells whether files have changed: inode, size in bytes and time of writing in nanoseconds, for each file."""

_NO_PEM: Final = "a file holds no certificate or no key in PEM, or the key needs a passphrase"

log = structlog.get_logger()


class Certificate:
    """The certificate that a node serves HTTPS with. `context` stays the same object when the certificate changes."""

    def __init__(self, chain: Path, key: Path | None) -> None:
        """`chain` is the PEM file of the certificates, `key` that of the private key, None: the key is in `chain`.

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
            raise SettingsError(f"the certificate {chain} cannot be used: {_words(error, chain)}") from error

    def look(self) -> None:
        """Read the files again if they have changed."""
        try:
            if _stamp_of(self._chain, self._key) == self._stamp:
                return
            self._read()
        except OSError as error:
            words = _words(error, self._chain)
            problem = f"the certificate {self._chain} cannot be used, and the one read before is served: {words}"
            if problem != self._problem:
                log.error("certificate not read", path=str(self._chain), reason=words)
            self._problem = problem
        else:
            self._problem = None
            log.info("certificate read", path=str(self._chain))

    async def watch(self) -> None:
        """Look every `LOOK_EVERY_S`, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def warnings(self, now_s: float) -> list[str]:
        """What an operator should look at, in words. `now_s` is the wall clock, in seconds since the Unix epoch."""
        found = [] if self._problem is None else [self._problem]
        left_s = self._ends_s - now_s
        if left_s < WARNED_S:
            when = f"ends in {left_s / _DAY_S:.1f} days" if left_s > 0 else "has ended: clients refuse it"
            found.append(f"the certificate {self._chain} {when}; the node reads a new file by itself")
        return found

    def _read(self) -> None:
        """Read the files, into a context of their own first: two files that do not match would break the one in use."""
        stamp = _stamp_of(self._chain, self._key)
        tried = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tried.load_cert_chain(self._chain, self._key)
        self._ends_s = _end_of(tried, self._chain)
        self.context.load_cert_chain(self._chain, self._key)
        self._stamp = stamp


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate to serve HTTPS with, None if the settings have none.

    Raises:
        SettingsError: the certificate cannot be used.
    """
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise SettingsError("tls_key is set and tls_certificate is not: a node serves HTTPS with both")
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def client_context(authority: Path | None) -> ssl.SSLContext:
    """The TLS context to dial `wss` and `https` with. `authority` is a PEM file, None: the system's authorities.

    The context is kept, because making it takes tens of milliseconds. It is made again if the file has changed.

    Raises:
        SettingsError: the file cannot be used.
    """
    try:
        stamp = None if authority is None else _stamp_of(authority, None)
        kept = _client_contexts.get(authority)
        if kept is None or kept[0] != stamp:
            kept = _client_contexts[authority] = (stamp, ssl.create_default_context(cafile=authority))
    except OSError as error:
        words = _words(error, authority or Path("."))
        raise SettingsError(f"the authority's certificate {authority} cannot be used: {words}") from error
    return kept[1]


def _words(error: OSError, path: Path) -> str:
    """Why a file with a certificate or a key cannot be used."""
    match error:
        case ssl.SSLError(reason="NO_CERTIFICATE_OR_CRL_FOUND" | "PEM_LIB" | "NO_START_LINE" | "BAD_BASE64_DECODE"):
            return _NO_PEM
        case ssl.SSLError(reason="KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH"):
            return "the private key does not belong to the certificate"
        case ssl.SSLError() if "PEM lib" in str(error):  # OpenSSL 3 gives no reason with it
            return _NO_PEM
        case ssl.SSLError():
            return str(error)
    return str(of_file(error, Path(os.fsdecode(error.filename)) if error.filename else path))


_client_contexts: dict[Path | None, tuple[Stamp | None, ssl.SSLContext]] = {}


def _stamp_of(*paths: Path | None) -> Stamp:
    stats = [path.stat() for path in paths if path is not None]
    return tuple((it.st_ino, it.st_size, it.st_mtime_ns) for it in stats)


def _end_of(server: ssl.SSLContext, chain: Path) -> float:
    """When the certificate ends, in seconds since the Unix epoch, 0 if it has ended already.

    The standard library cannot read a certificate from a file. So a client in memory, which trusts this very
    certificate, shakes hands with a server and is shown it.
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
    """One step of the handshake at one end."""
    with contextlib.suppress(ssl.SSLWantReadError):
        end.do_handshake()
