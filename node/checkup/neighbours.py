"""The peers: whether their clocks, their keys and their records agree with this node's.

Each peer is asked for `GET /node`, over HTTP at the address under which it is listed. Its answer has the time in whole
seconds. A clock is compared by that time and not by the header `Date`, because a proxy writes a `Date` of its own.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Final

import msgspec

from node.checkup.finding import Finding, fail, ok, warn
from node.client.answers import NodeSummary
from node.client.errors import NodeError, Unreachable
from node.client.http import NodeClient
from node.clocks import REMEDY, differs, in_words, least_ahead_s
from node.passwords import hidden
from node.store.contract import Peer
from protocol.link import copies

TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 16
"""Peers that are asked at the same time."""

DOMAINS_SHOWN_MAX: Final = 5

_NOTHING: Final = (0, "")


class NeighbourAnswer(msgspec.Struct, frozen=True):
    """What is known of a node: its key, its domains (count and fingerprint), and how far its clock is ahead of this
    machine's, in seconds.

    If the node could not be asked, `error` says why and `remedy` what to do. All else is empty then. `instance` is what
    the node drew at its start; empty if it does not say it.
    """

    key: str = ""
    domains: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    ahead_s: float = 0.0
    error: str | None = None
    remedy: str = "check that the peer runs, and its address"
    instance: str = ""


def ask(url: str, authority: Path | None = None, timeout_s: float = TIMEOUT_S) -> NeighbourAnswer:
    """Ask the node at this URL. `ws(s)://` counts as `http(s)://`.

    Raises:
        SettingsError: the authority cannot be read.
    """
    over_http = url.replace("ws", "http", 1) if url.startswith("ws") else url
    try:
        with NodeClient(over_http, None, timeout_s, authority) as client:
            asked_s = time.time()
            node = client.get_node()
            return _answer_of(node, least_ahead_s(node.time, asked_s, time.time()))
    except Unreachable as error:
        return NeighbourAnswer(error=hidden(str(error)), remedy=error.remedy)
    except NodeError as error:
        return NeighbourAnswer(error=hidden(str(error)), remedy=error.remedy or "see the log of that peer")
    except ValueError as error:
        return NeighbourAnswer(error=hidden(str(error)))


def ask_all(urls: Sequence[str], authority: Path | None) -> dict[str, NeighbourAnswer]:
    """The answer of each node, by URL. Raises: SettingsError: the authority cannot be read."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(urls, threads.map(ask, urls, repeat(authority)), strict=True))


def check_clock(ours: NeighbourAnswer, max_skew_s: float) -> Finding:
    """Compare the node's clock with this machine's."""
    return _clock("clock", "this node's clock", "this machine's", ours.ahead_s, max_skew_s)


def check_peers(
    ours: NeighbourAnswer, peers: Sequence[Peer], answers: Mapping[str, NeighbourAnswer], max_skew_s: float
) -> Iterator[Finding]:
    """All findings about the peers that have a URL. `answers` holds what each of them said."""
    for peer in peers:
        if peer.url is None:
            continue
        name, theirs = hidden(peer.url), answers[peer.url]
        if theirs.error is not None:
            yield warn("peer.reachable", f"{name}: {theirs.error}", theirs.remedy)
            continue
        yield _key(peer, name, ours, theirs)
        yield _clock("peer.clock", f"the clock of {name}", "this node's", theirs.ahead_s - ours.ahead_s, max_skew_s)
        yield _fingerprints(peer, name, ours, theirs)


def _answer_of(node: NodeSummary, ahead_s: float) -> NeighbourAnswer:
    domains = {name: (held.count, held.fingerprint) for name, held in node.domains.items()}
    return NeighbourAnswer(node.node, domains, ahead_s, instance=node.instance)


def _clock(check: str, whose: str, other: str, ahead_s: float, max_skew_s: float) -> Finding:
    detail = f"{whose} is {in_words(ahead_s, other)}"
    if abs(ahead_s) > max_skew_s:
        harm = f"more than max_skew ({max_skew_s:.0f} s), so records are refused as too_new"
        return fail(check, f"{detail}: {harm}", REMEDY)
    if differs(ahead_s):
        return warn(check, f"{detail}: records may be refused as too_new or too_old", REMEDY)
    return ok(check, f"{whose} and {other} agree within {max(1, round(abs(ahead_s)))} s")


def _key(peer: Peer, name: str, ours: NeighbourAnswer, theirs: NeighbourAnswer) -> Finding:
    if theirs.key == ours.key:
        return _own_key(name, ours, theirs)
    if peer.key is None:
        detail = f"{name} has never answered this node, so its key is not pinned"
        return warn("peer.key", detail, "`dnarc sync` asks it now, and says what is wrong")
    if peer.key != theirs.key:
        detail = f"{name} shows the key {theirs.key}, and {peer.key} is pinned"
        return fail("peer.key", detail, "ask its operator whether the new key is right; if so, remove and add the peer")
    return ok("peer.key", f"{name} has the key that is pinned")


def _own_key(name: str, ours: NeighbourAnswer, theirs: NeighbourAnswer) -> Finding:
    """The peer has this node's key. `instance` tells the node itself from a copy of its folder."""
    if not ours.instance or not theirs.instance:
        remedy = f"if it is the node, `dnarc peers remove {name}`; if it is a copy, {copies.REMEDY}"
        return fail("peer.key", f"{name} has this node's key: it is the node itself, or a copy of its folder", remedy)
    if ours.instance == theirs.instance:
        return fail("peer.key", f"{name} is this node itself", f"dnarc peers remove {name}")
    return fail("peer.key", f"{name} is another node with this node's key: a copy of its folder", copies.REMEDY)


def check_copies(peers: Sequence[Peer], answers: Mapping[str, NeighbourAnswer]) -> Iterator[Finding]:
    """Find peers that have the same key and are two processes, because one folder is a copy of the other."""
    seen: dict[str, tuple[str, NeighbourAnswer]] = {}
    for url in [peer.url for peer in peers if peer.url is not None]:
        answer = answers[url]
        if answer.error is None and answer.instance:
            first, other = seen.setdefault(answer.key, (url, answer))
            if other.instance != answer.instance:
                detail = f"{hidden(first)} and {hidden(url)} are two nodes with one key: one folder is a copy"
                yield fail("peer.copy", detail, f"tell their operator: {copies.REMEDY}")


def _fingerprints(peer: Peer, name: str, ours: NeighbourAnswer, theirs: NeighbourAnswer) -> Finding:
    """Compare the domains that flow between the two nodes. A domain of one side alone counts if it should flow."""
    flowing = {*(theirs.domains if peer.pull else ()), *(ours.domains if peer.push else ())}
    differing = sorted(it for it in flowing if theirs.domains.get(it, _NOTHING)[1] != ours.domains.get(it, _NOTHING)[1])
    if not differing:
        return ok("peer.fingerprints", f"{name} holds the same records in every domain ({len(flowing)} compared)")
    shown = ", ".join(
        f"{it} ({theirs.domains.get(it, _NOTHING)[0]} there, {ours.domains.get(it, _NOTHING)[0]} here)"
        for it in differing[:DOMAINS_SHOWN_MAX]
    )
    more = f" and {len(differing) - DOMAINS_SHOWN_MAX} more" if len(differing) > DOMAINS_SHOWN_MAX else ""
    detail = f"{name} differs in {len(differing)} of {len(flowing)} domains: {shown}{more}"
    remedy = "new records need a moment; if it stays so, `dnarc sync` says which records are refused, and why"
    return warn("peer.fingerprints", detail, remedy)
