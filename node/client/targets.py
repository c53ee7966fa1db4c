"""Targets: the URL of a node, and the path and the query of each request that a client sends to it."""

import base64
from urllib.parse import SplitResult, quote, unquote, urlsplit

Target = tuple[str, dict[str, str]]
"""The path and the query of a request."""


def path_of(*parts: str) -> str:
    """The path with these parts. Each part is quoted, so it may hold `/` and every other character."""
    return "".join("/" + quote(part.encode(errors="surrogatepass"), safe="") for part in parts)


def head_of(domain: str, label: str) -> Target:
    """Where a node shows the head of a label."""
    if _needs_query(label):
        return path_of("claims", domain), {"label": label}
    return path_of("claims", domain, label), {}


def proof_of(domain: str, label: str) -> Target:
    """Where a node shows the proof of a label's newest final record."""
    if _needs_query(label):
        return "/proof", {"domain": domain, "label": label}
    return path_of("claims", domain, label, "proof"), {}


def history_of(domain: str, label: str) -> Target:
    """Where a node shows the history of a label."""
    if _needs_query(label):
        return "/history", {"domain": domain, "label": label}
    return path_of("claims", domain, label, "history"), {}


def _needs_query(label: str) -> bool:
    """Whether a URL parser or a proxy may change the label in a path: they fold dots and decode slashes."""
    return label in (".", "..") or "/" in label or "\\" in label


def without_password(url: str) -> str:
    """The URL without the name and the password in it, so that errors and logs do not show them."""
    names = urlsplit(url).netloc
    return url.replace(f"//{names}", f"//{names.rpartition('@')[2]}", 1)


def check_url(url: str) -> SplitResult:
    """The parts of a node's URL. Raises: ValueError: this is no URL of a node. The text says what to write instead."""
    parts, shown = urlsplit(url), without_password(url)
    if "://" not in url:
        raise ValueError(f"{shown} has no scheme: write http://{shown} or https://{shown}")
    if parts.scheme in ("ws", "wss"):
        raise ValueError(f"{shown} is for links, and clients ask over HTTP: write {shown.replace('ws', 'http', 1)}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown} is no URL of a node: write http://HOST:PORT or https://HOST:PORT")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{shown} has a port that is no number from 0 to 65535") from error
    return parts


def authorization_of(parts: SplitResult, token: str | None) -> str | None:
    """The header by the admin token, or else by the name and the password in the URL (RFC 7617)."""
    if token is not None:
        return f"Bearer {token}"
    if parts.username is None:
        return None
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"
