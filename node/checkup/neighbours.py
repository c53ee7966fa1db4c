"""The peers: whether their clocks, their keys and their records agree with this node's.

Each is asked for `GET /node`, over HTTP at the address that it is listed under. A clock is read from the `Date` of the
answer, which counts whole seconds, so a skew is known to about a second.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import msgspec

from node.checkup.finding import Finding, fail, ok, warn
from node.client.http import NodeClient, NodeError, Unreachable
from node.peers import hidden
from node.store.contract import Peer

TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 16
SKEW_WARNED_S: Final = 5.0
DOMAINS_SHOWN_MAX: Final = 5

_OK: Final = 200


class Answer(msgspec.Struct, frozen=True):
    """A node seen from here: its key, its domains (count and fingerprint), and how far its clock is ahead, in seconds.

    `error` says why it is not known; then all else is empty. `instance` is what it drew at its start, empty if it does
    not say it.
    """

    key: str = ""
    domains: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    ahead_s: float | None = None
    error: str | None = None
    instance: str = ""


def ask(url: str, authority: Path | None = None, timeout_s: float = TIMEOUT_S) -> Answer:
    """What the node at this URL says of itself, `ws(s)://` meaning `http(s)://`.

    Raises:
        SettingsError: the authority cannot be read.
    """
    over_http = url.replace("ws", "http", 1) if url.startswith("ws") else url
    try:
        with NodeClient(over_http, None, timeout_s, authority) as client:
            begun = time.time()
            answer = client.ask("GET", "/node")
            ended = time.time()
            return _read(answer.value(), answer.headers.get("date"), (begun + ended) / 2)
    except (Unreachable, NodeError, ValueError) as error:
        return Answer(error=hidden(str(error)))


def ask_all(urls: Sequence[str], authority: Path | None) -> dict[str, Answer]:
    """The answer of each. Raises: SettingsError: the authority cannot be read."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(urls, threads.map(ask, urls, repeat(authority)), strict=True))


def _read(node: Any, date: str | None, now_s: float) -> Answer:
    try:
        domains = {name: (int(held["count"]), str(held["fingerprint"])) for name, held in node["domains"].items()}
        ahead_s = None if date is None else parsedate_to_datetime(date).timestamp() + 0.5 - now_s
        return Answer(str(node["node"]), domains, ahead_s, instance=str(node.get("instance", "")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return Answer(error=f"it does not answer as a node does ({error!r})")


def check_clock(ours: Answer, max_skew_s: float) -> Finding:
    """The node's clock against the one of this machine."""
    return _clock("clock", "this node's clock", "this machine's", ours.ahead_s or 0.0, max_skew_s)


def check_peers(
    ours: Answer, peers: Sequence[Peer], answers: Mapping[str, Answer], max_skew_s: float
) -> Iterator[Finding]:
    """Everything about the peers with a URL, each asked beforehand."""
    for peer in peers:
        if peer.url is None:
            continue
        name, theirs = hidden(peer.url), answers[peer.url]
        if theirs.error is not None:
            yield warn("peer.reachable", f"{name}: {theirs.error}", "is it up, and is the address right?")
            continue
        yield _key(peer, name, ours, theirs)
        ahead_s = (theirs.ahead_s or 0.0) - (ours.ahead_s or 0.0)
        yield _clock("peer.clock", f"the clock of {name}", "this node's", ahead_s, max_skew_s)
        yield _fingerprints(peer, name, ours, theirs)


def _clock(check: str, whose: str, other: str, ahead_s: float, max_skew_s: float) -> Finding:
    detail = f"{whose} is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {other}"
    remedy = "run a time service (NTP) on both machines"
    if abs(ahead_s) > max_skew_s:
        return fail(check, f"{detail}: more than max_skew ({max_skew_s:.0f} s), so records are held back", remedy)
    if abs(ahead_s) > SKEW_WARNED_S:
        return warn(check, detail, remedy)
    return ok(check, f"{whose} and {other} agree within {max(1, round(abs(ahead_s)))} s")


def _key(peer: Peer, name: str, ours: Answer, theirs: Answer) -> Finding:
    if theirs.key == ours.key:
        return _own_key(name, ours, theirs)
    if peer.key is None:
        return warn("peer.key", f"{name} has never answered the node, so its key is not pinned", "see the node's log")
    if peer.key != theirs.key:
        detail = f"{name} shows the key {theirs.key}, and {peer.key} is pinned"
        return fail("peer.key", detail, "ask its operator; if that is right, add the peer anew")
    return ok("peer.key", f"{name} is who it was")


def _own_key(name: str, ours: Answer, theirs: Answer) -> Finding:
    if not ours.instance or not theirs.instance:
        remedy = f"if it is the node, `dnarc peers remove {name}`; if it is a copy, {_GIVE_KEY}"
        return fail("peer.key", f"{name} has this node's key: it is the node itself, or a copy of its folder", remedy)
    if ours.instance == theirs.instance:
        return fail("peer.key", f"{name} is this node itself", f"dnarc peers remove {name}")
    return fail("peer.key", f"{name} is another node with this node's key: a copy of its folder", _GIVE_KEY)


def check_copies(peers: Sequence[Peer], answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """Peers that answer at two addresses with one key, and are two processes."""
    seen: dict[str, tuple[str, Answer]] = {}
    for url in [peer.url for peer in peers if peer.url is not None]:
        answer = answers[url]
        if answer.error is None and answer.instance:
            first, other = seen.setdefault(answer.key, (url, answer))
            if other.instance != answer.instance:
                detail = f"{hidden(first)} and {hidden(url)} are two nodes with one key: one folder is a copy"
                yield fail("peer.copy", detail, f"tell their operator: {_GIVE_KEY}")


def _fingerprints(peer: Peer, name: str, ours: Answer, theirs: Answer) -> Finding:
    """Of the domains that flow between the two; those that one side alone keeps count only where they should flow."""
    flowing = {*(theirs.domains if peer.pull else ()), *(ours.domains if peer.push else ())}
    differing = sorted(it for it in flowing if theirs.domains.get(it, _NONE)[1] != ours.domains.get(it, _NONE)[1])
    if not differing:
        return ok("peer.fingerprints", f"{name} holds the same in all {len(flowing)} domains")
    shown = ", ".join(
        f"{it} ({theirs.domains.get(it, _NONE)[0]} there, {ours.domains.get(it, _NONE)[0]} here)"
        for it in differing[:DOMAINS_SHOWN_MAX]
    )
    more = f" and {len(differing) - DOMAINS_SHOWN_MAX} more" if len(differing) > DOMAINS_SHOWN_MAX else ""
    detail = f"{name} differs in {len(differing)} of {len(flowing)} domains: {shown}{more}"
    remedy = "new records need a moment; if it stays so, run `dnarc sync` and read what it says"
    return warn("peer.fingerprints", detail, remedy)


_NONE: Final = (0, "")

_GIVE_KEY: Final = "stop one of the two; to keep the copy, delete its node.key, start it, and add it to its peers anew"
