"""TLS: the certificate that this node shows, and whose certificates it believes when it dials (RFC 8446).

A `wss` or `https` peer is believed when a known authority vouches for its name: one that the system knows, or the
operator's own (`tls_ca`), which then is believed alone. It says nothing about the peer's node key, which is proven
inside of the link.
"""

import ssl
from functools import cache
from pathlib import Path

from node.settings import Settings, SettingsError


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """What to serve HTTPS with; None where no certificate is set. Raises: SettingsError: it cannot be used."""
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise SettingsError("tls_key is set and tls_certificate is not: a node serves HTTPS with both")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"the certificate {settings.tls_certificate} cannot be used: {error}") from error
    return context


@cache
def client_context(authority: Path | None) -> ssl.SSLContext:
    """What to dial `wss` and `https` with, read once, as it takes tens of milliseconds.

    Raises:
        SettingsError: the authority's certificate cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise SettingsError(f"the authority's certificate {authority} cannot be used: {error}") from error
