"""Plumtree: send each record once to almost every node, over a tree of links, and repair the tree where it breaks.

The algorithm is Plumtree (Leitao, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007). The paper calls our push
GOSSIP, `have` IHAVE, `want` GRAFT, and `prune` PRUNE. One `Plumtree` serves a whole node, over all of its links.

Every link starts *eager*: the node pushes each new record over it. If a record arrives a second time, the link closes
a circle, and one of the two paths is enough. The node then answers `prune`, and both sides make that link *lazy*. The
links that stay eager form a tree. Over a lazy link a node sends only `have`: the ids of new records. If an announced
record does not arrive in time (`protocol.gossip.timing`), the node asks an announcer for the record with `want`. This
makes the link eager again, and so the tree repairs itself. If a lazy link announces records long before the tree
delivers them, it is a *shortcut*: it becomes eager in place of the link that delivered them (the paper, section 3.8).

A *live* record was just written by a client, or a peer pushed it as a live record. A record from catch-up or repair is
not live. Most nodes have it already, so a node announces it on all links and pushes it on no link.

*Hops* counts the links that a live record has crossed when it arrives: 1 at the first node after the one where the
client wrote it. `have` names the hops that a push would have had. 0 means: these records are not live.

`Plumtree` handles ids, not records. Links are integers, and no integer is used for two links. Times are seconds of one
steady clock. Every event returns the outputs that the caller carries out, in order.

What differs from the paper:

- A node sends nothing about a record to a link that announced the record.
- A node tells a new link its newest ids at once. In simulation this brought a record to all living nodes after 80 per
  cent of the nodes had failed.
- A node never prunes the last eager link that live records came over.
- A node doubts links that announce records and do not send them (`protocol.gossip.tree_link`).
- A link to a stranger never changes how two listed peers treat each other. Otherwise a stranger could send its records
  to two listed peers at once, so that they prune each other, and then forward nothing.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from random import Random
from typing import Final

import msgspec

from protocol.gossip.missing import ANNOUNCERS_MAX, ASKS_MAX, Announcer, MissingRecord, MissingTable
from protocol.gossip.timing import Timing
from protocol.gossip.tree_link import TreeLink, frames
from protocol.limits import HOPS_MAX

ANSWER_EACH_S: Final = 0.001
"""Seconds that a link has in addition for each record, when it is asked for several records at once. A guess."""


class PlumtreeLimits(msgspec.Struct, frozen=True):
    """What a node may choose for itself."""

    recents_max: int = 65_536
    """Newest ids remembered, each with its first copy: six seconds at 10,000 records a second, about 20 MB."""

    greeting_ids_max: int = 64
    """Newest ids that the node tells a new link."""

    gather_s: float = 0.01
    """How long an id waits for others before a `have` announces them together; 0: no wait."""

    shortcut_hops: int = 7
    """How many hops a lazy link must save to become a shortcut. 7 is the paper's choice for many senders."""


class SendRecords(msgspec.Struct, frozen=True, gc=False):
    """Send these records in a frame with these hops (0: they are not live). Leave out an id that the node lacks."""

    link: int
    ids: tuple[str, ...]
    hops: int


class SendHave(msgspec.Struct, frozen=True, gc=False):
    """Send a `have` with these ids, at most `IDS_MAX`."""

    link: int
    ids: tuple[str, ...]
    hops: int


class SendWant(msgspec.Struct, frozen=True, gc=False):
    """Send a `want` with these ids, at most `IDS_MAX`. Without ids it only asks the peer to push from now on."""

    link: int
    ids: tuple[str, ...]
    eager: bool


class SendPrune(msgspec.Struct, frozen=True, gc=False):
    """Send `prune`."""

    link: int


Output = SendRecords | SendHave | SendWant | SendPrune


class FirstCopy(msgspec.Struct, frozen=True, gc=False):
    """How a record first came to this node. All records of one frame share one value."""

    link: int | None
    """The link that pushed it. None: a client wrote it, or it is not live."""

    hops: int
    """The hops with which this node passes it on. 0: it is not live."""


class Plumtree:
    """Decides which record this node sends, announces or asks for on which link."""

    __slots__ = ("_announce_at", "_limits", "_links", "_missing", "_neglected", "_recents", "_timing")

    def __init__(self, limits: PlumtreeLimits, random: Random) -> None:
        """`random` spreads the times at which nodes ask. Several nodes of a simulation may share it."""
        self._limits = limits
        self._links: dict[int, TreeLink] = {}
        self._recents: dict[str, FirstCopy | None] = {}
        """The newest ids, the newest last. None in place of a first copy: the node refused the record."""
        self._timing = Timing()
        self._missing = MissingTable(random)
        self._announce_at: float | None = None
        """When the ids that the links have gathered are announced; None: no link has any."""
        self._neglected: dict[int, None] = {}
        """An ordered set; see `take_neglected`."""

    def __contains__(self, record_id: str) -> bool:
        """Whether the node remembers this id, because the record arrived or was refused not long ago."""
        return record_id in self._recents

    def is_up(self, link: int) -> bool:
        return link in self._links

    def is_eager(self, link: int) -> bool:
        return self._links[link].is_eager

    def pruned(self) -> dict[int, float]:
        """When this node last sent `prune`, by link, for all links over which it did."""
        return {number: link.pruned_at for number, link in self._links.items() if link.pruned_at is not None}

    @property
    def missing_count(self) -> int:
        """How many announced records have not arrived."""
        return len(self._missing)

    def take_neglected(self) -> list[int]:
        """The links with announcements that the node ignored or gave up since the last call.

        This node no longer asks for what such a peer announced, so the two should compare their sets once in a while.
        """
        neglected = [link for link in self._neglected if link in self._links]
        self._neglected.clear()
        return neglected

    @property
    def next_at(self) -> float | None:
        """When to call `on_time` at the latest; None: no timer is set."""
        ask_at = self._missing.next_at
        if self._announce_at is None or ask_at is None:
            return self._announce_at if ask_at is None else ask_at
        return min(self._announce_at, ask_at)

    # Links come and go.

    def on_up(
        self, link: int, has_outflow: bool = True, has_inflow: bool = True, is_listed: bool = True
    ) -> list[Output]:
        """The link is open. `has_outflow`: this node sends records over it; `has_inflow`: the peer does. `is_listed`:
        the operator listed the peer; otherwise it is a stranger.
        """
        assert link not in self._links
        self._links[link] = TreeLink(has_outflow, has_inflow, is_listed)
        return list(self._greeting(link)) if has_outflow else []

    def on_down(self, link: int, now: float) -> list[Output]:
        """The link has ended. The node asks other links at once for what it had asked this one."""
        if self._links.pop(link, None) is None:
            return []
        self._missing.forget_link(link, now)
        return self.on_time(now)

    def on_round_trip(self, link: int, round_trip_s: float) -> None:
        """A ping of this link was answered after this time."""
        tree_link = self._links.get(link)
        if tree_link is not None:
            tree_link.round_trip_s = round_trip_s
            if tree_link.is_listed:
                self._timing.on_round_trip(round_trip_s)

    # Records arrive.

    def on_records(
        self, ids: tuple[str, ...], hops: int, source: int | None, now: float, is_live: bool = True
    ) -> list[Output]:
        """This node admitted these records, each for the first time.

        `source` is the link that they came over, None for a client. `hops` is what their frame says, 0 for a client.
        """
        was_missing = self._close(ids)
        shortcut = None
        if is_live and hops:
            for missing in was_missing.values():
                if missing.is_listed:  # a stranger may announce early and send late, to make this node wait longer
                    self._timing.on_lag(now - missing.announced_at)
            shortcut = self._find_shortcut(was_missing.values(), hops, source)
        onward_hops = min(hops + 1, HOPS_MAX) if is_live else 0
        outputs = self._join_tree(source, shortcut, is_live, now)
        outputs += self._pass_on(ids, onward_hops, source, _ids_by_announcer(was_missing), now)
        self._remember(ids, FirstCopy(source if is_live else None, onward_hops))
        return outputs

    def on_duplicates(self, ids: tuple[str, ...], hops: int, source: int | None, now: float) -> list[Output]:
        """These records came over this link, and this node had them before. `hops` as in `on_records`.

        If their first copy came over another link that is still eager, the node prunes this link: one of the two stays.
        A duplicate from catch-up or from a client (0 hops) says nothing about the tree.
        """
        tree_link = None if source is None or not hops else self._links.get(source)
        if source is None or tree_link is None or self._was_just_pruned(tree_link, now):
            return []
        return [self._prune(source, tree_link, now)] if self._closes_circle(ids, source) else []

    def on_refused(self, ids: tuple[str, ...]) -> None:
        """This node refused these records for good. It does not ask for them again, as long as it remembers them."""
        for record_id in ids:
            self._missing.close(record_id)
        self._remember(ids, None)

    def on_erased(self, link: int, ids: tuple[str, ...], now: float) -> None:
        """The peer holds these records and does not give them. The node asks the other announcers at once."""
        for record_id in ids:
            missing = self._missing.get(record_id)
            if missing is not None:
                self._missing.forget_announcer(record_id, link, now)

    # The peer's control frames.

    def on_have(self, link: int, ids: tuple[str, ...], hops: int, now: float, lacks: Callable[[str], bool]) -> None:
        """The peer announces these records.

        `lacks` says whether this node has no record with an id. It is called only for ids that are neither remembered
        nor missing already, because it may be slow.
        """
        self._miss(ids, Announcer(link, hops, self._is_listed(link)), now, lacks)

    def on_named(self, link: int, ids: tuple[str, ...], hops: int, now: float, lacks: Callable[[str], bool]) -> None:
        """The peer sent a record with these hops that names these records. `lacks` as for `on_have`.

        The peer most likely has them, so the node asks it for those that it lacks.
        """
        self._miss(ids, Announcer(link, hops, self._is_listed(link), is_promise=False), now, lacks)

    def on_want(self, link: int, ids: tuple[str, ...], eager: bool) -> list[Output]:
        """The peer asks for these records, which this node may or may not hold.

        The link's window of unacknowledged records bounds what the answers cost.
        """
        asker = self._links.get(link)
        if asker is None or not asker.has_outflow:
            return []
        if eager:
            asker.is_eager = True
        by_hops: dict[int, list[str]] = {}
        for record_id in dict.fromkeys(ids):
            first = self._recents.get(record_id)
            by_hops.setdefault(first.hops if first is not None and eager else 0, []).append(record_id)
        return [SendRecords(link, tuple(group), hops) for hops, group in by_hops.items()]

    def on_prune(self, link: int) -> None:
        """The peer gets our pushes over another path too, and asks for announcements instead."""
        tree_link = self._links.get(link)
        if tree_link is not None:
            tree_link.is_eager = False

    # Timers.

    def on_time(self, now: float) -> list[Output]:
        """Do what is due by now. A call that comes too early does nothing."""
        outputs: list[Output] = []
        if self._announce_at is not None and self._announce_at <= now:
            self._announce_at = None
            for link, tree_link in self._links.items():
                outputs += [SendHave(link, ids, hops) for hops, ids in tree_link.take()]
        ask_at = self._missing.next_at
        if ask_at is not None and ask_at <= now:
            outputs += self._ask(now)
        return outputs

    # Passing records on.

    def _greeting(self, link: int) -> Iterator[Output]:
        """Announce the newest ids to a new link, live records and others in separate frames.

        All live ids carry the highest hops among them, so that the frame promises no shortcut that does not exist.
        """
        newest = list(islice(reversed(self._recents.items()), self._limits.greeting_ids_max))
        live = {each: first.hops for each, first in newest if first is not None and first.hops}
        others = tuple(each for each, first in newest if first is not None and not first.hops)
        if live:
            yield SendHave(link, tuple(live), max(live.values()))
        if others:
            yield SendHave(link, others, 0)

    def _pass_on(
        self, ids: tuple[str, ...], hops: int, source: int | None, announced: dict[int, set[str]], now: float
    ) -> Iterator[Output]:
        """Push live records on eager links; announce them on lazy links, and others than live ones on all links.

        `announced` holds the ids that a link announced itself: the node sends nothing about these to that link.
        """
        for link, tree_link in self._links.items():
            if link == source or not tree_link.has_outflow:
                continue
            unknown = ids if link not in announced else tuple(each for each in ids if each not in announced[link])
            if not (hops and tree_link.is_eager):
                yield from self._announce(link, tree_link, unknown, hops, now)
            elif unknown:
                yield SendRecords(link, unknown, hops)

    def _announce(self, link: int, tree_link: TreeLink, ids: tuple[str, ...], hops: int, now: float) -> list[SendHave]:
        """Announce these ids within `gather_s`; a frame that is full goes at once."""
        if not self._limits.gather_s:
            return [SendHave(link, frame, hops) for frame in frames(ids)]
        if self._announce_at is None and ids:
            self._announce_at = now + self._limits.gather_s
        return [SendHave(link, frame, hops) for frame in tree_link.gather(ids, hops)]

    def _remember(self, ids: tuple[str, ...], first: FirstCopy | None) -> None:
        recents = self._recents
        recents.update(dict.fromkeys(ids, first))
        if len(recents) > self._limits.recents_max:
            # An eighth at once: to find its oldest key, a dict walks past all keys that were deleted before it.
            oldest = islice(recents, len(recents) - self._limits.recents_max * 7 // 8)
            for record_id in list(oldest):
                del recents[record_id]

    # The shape of the tree.

    def _join_tree(self, source: int | None, shortcut: int | None, is_live: bool, now: float) -> list[Output]:
        """Believe the link that delivered new records. If they are live, make that link or its shortcut eager."""
        sender = None if source is None else self._links.get(source)
        if source is None or sender is None:
            return []
        sender.doubts = 0
        if not is_live or self._was_just_pruned(sender, now):
            return []
        sender.is_eager = True
        if shortcut is None:
            return []
        self._links[shortcut].is_eager = True
        return [SendWant(shortcut, (), eager=True), self._prune(source, sender, now)]

    def _find_shortcut(self, arrived: Iterable[MissingRecord], hops: int, source: int | None) -> int | None:
        """A lazy link that announced one of these records with far fewer hops, and that has broken no promise."""
        for missing in arrived:
            for link, announced_hops in missing.announcers.items():
                tree_link = self._links[link]
                is_short = link in missing.promised and 0 < announced_hops <= hops - self._limits.shortcut_hops
                if not tree_link.is_listed and self._is_listed(source):
                    continue
                if is_short and link != source and not tree_link.is_eager and not tree_link.doubts:
                    return link
        return None

    def _closes_circle(self, ids: tuple[str, ...], source: int) -> bool:
        """Whether the first copy of one of these came, live, over another link that is open and eager.

        The link of a stranger is no reason to prune the link of a listed peer.
        """
        is_listed = self._is_listed(source)
        for record_id in ids:
            first = self._recents.get(record_id)
            if first is not None and first.link is not None and first.link != source:
                tree_link = self._links.get(first.link)
                if tree_link is not None and tree_link.is_eager and (tree_link.is_listed or not is_listed):
                    return True
        return False

    def _is_listed(self, link: int | None) -> bool:
        tree_link = None if link is None else self._links.get(link)
        return tree_link is not None and tree_link.is_listed

    def _prune(self, link: int, tree_link: TreeLink, now: float) -> SendPrune:
        tree_link.is_eager = False
        tree_link.pruned_at = now
        return SendPrune(link)

    def _was_just_pruned(self, tree_link: TreeLink, now: float) -> bool:
        """Whether the peer may have sent what now arrives before it received our `prune`."""
        pruned_at = tree_link.pruned_at
        return pruned_at is not None and now - pruned_at < self._timing.answer_s(tree_link.round_trip_s)

    # Missing records.

    def _close(self, ids: tuple[str, ...]) -> dict[str, MissingRecord]:
        """Stop to miss these ids. Returns the entries of those that were missing."""
        was_missing: dict[str, MissingRecord] = {}
        for record_id in ids if self._missing else ():
            missing = self._missing.close(record_id)
            if missing is not None:
                was_missing[record_id] = missing
        return was_missing

    def _miss(self, ids: tuple[str, ...], announcer: Announcer, now: float, lacks: Callable[[str], bool]) -> None:
        """Note which of these records are missing, and that this link may have them."""
        link = self._links.get(announcer.link)
        if link is None or not link.has_inflow:
            return
        if link.is_muted(now):
            self._neglected[announcer.link] = None
            return
        for record_id in ids:
            if record_id in self._recents:
                continue
            missing = self._missing.get(record_id)
            if missing is not None:
                self._add_announcer(missing, announcer)
            elif lacks(record_id) and not self._missing.open(record_id, announcer, now, self._timing.want_s):
                self._neglected[announcer.link] = None

    def _add_announcer(self, missing: MissingRecord, announcer: Announcer) -> None:
        """Remember one more link to ask. A listed peer takes the place of a stranger, if none is free."""
        announcers = missing.announcers
        if len(announcers) >= ANNOUNCERS_MAX and announcer.link not in announcers and announcer.is_listed:
            strangers = (each for each in announcers if each != missing.asked and not self._is_listed(each))
            missing.remove(next(strangers, -1))
        if len(announcers) < ANNOUNCERS_MAX or announcer.link in announcers:
            missing.add(announcer)

    def _ask(self, now: float) -> list[Output]:
        """Ask for each missing record that is due. Give it up if every announcer was asked for it often enough."""
        asked: dict[int, dict[bool, list[str]]] = {}  # link -> whether the records are live -> ids
        broke_promise: dict[int, None] = {}
        for record_id, missing in self._missing.due(now):
            if missing.asked in missing.promised:
                broke_promise[missing.asked] = None
            link = self._choose_announcer(missing, asked)
            if link is None:
                self._neglected.update(dict.fromkeys(missing.promised))
                self._missing.close(record_id)
                continue
            group = asked.setdefault(link, {}).setdefault(missing.announcers[link] > 0, [])
            group.append(record_id)
            answer_s = self._timing.answer_s(self._links[link].round_trip_s) + ANSWER_EACH_S * len(group)
            asked_each = missing.asks // len(missing.announcers)
            self._missing.ask(record_id, link, now + answer_s * 2**asked_each)
        for link in broke_promise:
            self._links[link].doubt(now)
        return list(self._wants(asked))

    def _choose_announcer(self, missing: MissingRecord, asked: Container[int]) -> int | None:
        """The announcer to ask: not the one asked last, then a listed peer, then the one with the fewest doubts, then
        one in `asked`.

        The node asks the latter anyway in this turn. When many records are missing at once, this keeps the other links
        lazy. None: all announcers were asked often enough.
        """
        announcers = missing.announcers
        if missing.asks >= ASKS_MAX * len(announcers):
            return None

        def reluctance(link: int) -> tuple[bool, bool, int, bool]:
            tree_link = self._links[link]
            return (link == missing.asked, not tree_link.is_listed, tree_link.doubts, link not in asked)

        return min(announcers, key=reluctance)

    def _wants(self, asked: dict[int, dict[bool, list[str]]]) -> Iterator[Output]:
        """A `want` for each group. One for live records makes its link eager, because the tree broke elsewhere."""
        for link, groups in asked.items():
            for is_live, ids in groups.items():
                if is_live:
                    self._links[link].is_eager = True
                for frame in frames(tuple(ids)):
                    yield SendWant(link, frame, eager=is_live)


def _ids_by_announcer(was_missing: dict[str, MissingRecord]) -> dict[int, set[str]]:
    """For each link, the ids among these that it announced."""
    announced: dict[int, set[str]] = {}
    for record_id, missing in was_missing.items():
        for link in missing.promised:
            announced.setdefault(link, set()).add(record_id)
    return announced
