"""Gossip: every record crosses almost every node once, and no node misses one. Plumtree (Leitao, Pereira, Rodrigues,
"Epidemic Broadcast Trees", SRDS 2007), as one machine for a whole node, over all of its links.

A link starts *eager*: new records are pushed over it. A record that comes a second time shows that the link closes a
circle, and one of the two ways is enough: the node answers `prune`, and the link is *lazy* for both sides. What stays
eager is a tree. Over a lazy link goes only `have`, the ids. A node that hears of a record which does not come waits for
as long as records have been late (`protocol.gossip.timing`), then asks for it (`want`); that makes the link eager
again, and so the tree mends itself where it broke. Where a lazy link announces records long before they
come over the tree, the two change places.

*News* are records that a client has just written, and what is pushed. What comes by catch-up or by repair is known to
most: it is announced to all and pushed to nobody.

**Hops** is the number of links that a record has crossed when it arrives; a client's record leaves its first node with
1, and `have` names the hops that a push would have had. 0 stands on frames that carry or announce no news.

The machine deals in ids. Times are seconds of one steady clock; links are integers, never given twice. Every event
gives the outputs that are to be carried out, in order. What differs from the paper: nothing is sent to a link that
announced the record itself; a new link is told the newest ids at once (in simulation this carried a message through 80
per cent of all nodes failing); the last eager link that news came over is never pruned; and links whose announcements
prove empty are asked last, then not heard for a while.
"""

from collections.abc import Callable, Container, Iterator
from itertools import islice
from random import Random
from typing import Final

import msgspec

from protocol.gossip.missing import ANNOUNCERS_MAX, ASKS_MAX, MissingRecord, MissingTable
from protocol.gossip.timing import Timing
from protocol.gossip.tree_link import TreeLink, frames
from protocol.limits import HOPS_MAX

ANSWER_EACH_S: Final = 0.001
"""A link that is asked for many records at once has this much longer for each: a guess."""


class PlumtreeLimits(msgspec.Struct, frozen=True):
    """What a node may want to choose."""

    recents_max: int = 65_536
    """Newest ids remembered, with the link that each came over: six seconds of 10,000 records, about 20 MB."""

    greeting_ids_max: int = 64
    """Newest ids that a new link is told."""

    gather_s: float = 0.01
    """How long ids wait for others before they are announced; 0: not at all."""

    shortcut_hops: int = 7
    """How many hops a lazy link must save to take an eager one's place: 7 is the paper's choice for many senders."""


class SendRecords(msgspec.Struct, frozen=True, gc=False):
    """Send these records. `hops` goes on the frame; 0: no news. An id that is not held is to be left out."""

    link: int
    ids: tuple[str, ...]
    hops: int


class SendHave(msgspec.Struct, frozen=True, gc=False):
    """Send `have`: at most 1,000 ids."""

    link: int
    ids: tuple[str, ...]
    hops: int


class SendWant(msgspec.Struct, frozen=True, gc=False):
    """Send `want`: at most 1,000 ids; none where only future pushes are asked for."""

    link: int
    ids: tuple[str, ...]
    eager: bool


class SendPrune(msgspec.Struct, frozen=True, gc=False):
    """Send `prune`."""

    link: int


Output = SendRecords | SendHave | SendWant | SendPrune


class FirstCopy(msgspec.Struct, frozen=True, gc=False):
    """How a record first came to this node. One value stands for all records of a frame."""

    link: int | None
    """The link that pushed it; None for a client's record, and for a record from catch-up or repair."""

    hops: int
    """The hops that the record has when it goes on; 0: it is not live."""


class Plumtree:
    """Which record goes where, over all the links of one node."""

    __slots__ = ("_limits", "_links", "_missing", "_neglected", "_recents", "_tell_at", "_timing")

    def __init__(self, limits: PlumtreeLimits, random: Random) -> None:
        """`random` spreads the times of asking; many machines may share one."""
        self._limits = limits
        self._links: dict[int, TreeLink] = {}
        self._recents: dict[str, FirstCopy | None] = {}
        """Newest last. None stands for a record that was refused."""
        self._timing = Timing()
        self._missing = MissingTable(random)
        self._tell_at: float | None = None
        self._neglected: dict[int, None] = {}

    def __contains__(self, record_id: str) -> bool:
        """Whether the id is remembered: it came, or was refused, not too long ago."""
        return record_id in self._recents

    def is_eager(self, link: int) -> bool:
        return self._links[link].is_eager

    @property
    def missing(self) -> int:
        """Ids announced that have not come."""
        return len(self._missing)

    def take_neglected(self) -> list[int]:
        """The links, since the last call, of whose announcements some were not believed, or given up in vain.

        What such a link has is not asked for here any more, so the two should compare what they hold, now and then.
        """
        neglected = [name for name in self._neglected if name in self._links]
        self._neglected.clear()
        return neglected

    @property
    def next_at(self) -> float | None:
        """When `on_time` is to be called at the latest; None: not before another event."""
        want_at = self._missing.next_at
        if self._tell_at is None or want_at is None:
            return self._tell_at if want_at is None else want_at
        return min(self._tell_at, want_at)

    def on_up(self, link: int, has_outflow: bool = True, has_inflow: bool = True) -> list[Output]:
        """The link is open. Outflow: we send records over it; inflow: we are sent them."""
        assert link not in self._links
        self._links[link] = TreeLink(has_outflow, has_inflow)
        return list(self._greet(link)) if has_outflow else []

    def on_down(self, link: int, now: float) -> list[Output]:
        """The link is gone. What it had been asked for is asked of others at once."""
        if self._links.pop(link, None) is None:
            return []
        self._missing.forget_link(link, now)
        return self.on_time(now)

    def on_records(
        self, ids: tuple[str, ...], hops: int, source: int | None, now: float, is_live: bool = True
    ) -> list[Output]:
        """These were admitted, each for the first time. `source` is the link that they came over, None for a client.

        `hops` is the frame's, 0 for a client's. `is_live` is False for what came by catch-up or repair.
        """
        holders, shortcut = self._arrive(ids, hops if is_live else 0, source, now)
        outputs = self._welcome(source, shortcut, is_live, now)
        onward = min(hops + 1, HOPS_MAX) if is_live else 0
        for name, branch in self._links.items():
            if name == source or not branch.has_outflow:
                continue
            rest = ids if name not in holders else tuple(each for each in ids if each not in holders[name])
            if not (is_live and branch.is_eager):
                outputs += self._tell(name, branch, rest, onward, now)
            elif rest:
                outputs.append(SendRecords(name, rest, onward))
        self._remember(ids, FirstCopy(source if is_live else None, onward))
        return outputs

    def on_duplicates(self, ids: tuple[str, ...], hops: int, source: int | None, now: float) -> list[Output]:
        """These came over this link and were here. What a catch-up or a client repeats (0 hops) is nothing.

        A link is pruned only if the first copy came over another that is still eager: of two ways, one stays.
        """
        link = None if source is None or not hops else self._links.get(source)
        if source is None or link is None or self._is_settling(link, now) or not self._closes_circle(ids, source):
            return []
        return [self._prune(source, link, now)]

    def on_refused(self, ids: tuple[str, ...]) -> None:
        """These came and are refused for good: they are asked for no more, as long as they are remembered."""
        for record_id in ids:
            self._missing.close(record_id)
        self._remember(ids, None)

    def on_have(self, link: int, ids: tuple[str, ...], hops: int, now: float, lacks: Callable[[str], bool]) -> None:
        """The peer holds these. `lacks` says whether an id is not held here; it is asked only about ids that are
        neither remembered nor missed already.
        """
        announcer = self._links.get(link)
        if announcer is None or not announcer.has_inflow:
            return
        if announcer.is_muted(now):
            self._neglected[link] = None
            return
        for record_id in ids:
            if record_id in self._recents:
                continue
            missing = self._missing.get(record_id)
            if missing is not None:
                if len(missing.announcers) < ANNOUNCERS_MAX:
                    missing.announcers.setdefault(link, hops)
            elif lacks(record_id) and not self._missing.open(record_id, link, hops, now, self._timing.want_s):
                self._neglected[link] = None

    def on_want(self, link: int, ids: tuple[str, ...], eager: bool) -> list[Output]:
        """The peer asks for these, held here or not. What answers may cost is bounded by the link's window."""
        asker = self._links.get(link)
        if asker is None or not asker.has_outflow:
            return []
        if eager:
            asker.is_eager = True
        by_hops: dict[int, list[str]] = {}
        for record_id in dict.fromkeys(ids):
            came = self._recents.get(record_id)
            by_hops.setdefault(came.hops if came is not None and eager else 0, []).append(record_id)
        return [SendRecords(link, tuple(group), hops) for hops, group in by_hops.items()]

    def on_prune(self, link: int) -> None:
        """The peer has another way to what we push."""
        pruned = self._links.get(link)
        if pruned is not None:
            pruned.is_eager = False

    def on_round_trip(self, link: int, round_trip_s: float) -> None:
        """A ping of this link was answered."""
        known = self._links.get(link)
        if known is not None:
            known.round_trip_s = round_trip_s
            self._timing.on_round_trip(round_trip_s)

    def on_time(self, now: float) -> list[Output]:
        """Do what is due by now; nothing where it is too early."""
        outputs: list[Output] = []
        if self._tell_at is not None and self._tell_at <= now:
            self._tell_at = None
            for name, branch in self._links.items():
                outputs += _told(name, branch)
        want_at = self._missing.next_at
        if want_at is not None and want_at <= now:
            outputs += self._ask(now)
        return outputs

    def _greet(self, link: int) -> Iterator[Output]:
        """The newest ids, news and others apart. The most hops of all stands for all: it promises no shortcut."""
        newest = [(each, came) for each, came in islice(reversed(self._recents.items()), self._limits.greeting_ids_max)]
        news = [(each, came.hops) for each, came in newest if came is not None and came.hops]
        others = tuple(each for each, came in newest if came is not None and not came.hops)
        if news:
            yield SendHave(link, tuple(each for each, _ in news), max(hops for _, hops in news))
        if others:
            yield SendHave(link, others, 0)

    def _arrive(
        self, ids: tuple[str, ...], hops: int, source: int | None, now: float
    ) -> tuple[dict[int, set[str]], int | None]:
        """Miss these no longer. Gives who had announced which of them, and a link that would have been a shortcut."""
        holders: dict[int, set[str]] = {}
        shortcut: int | None = None
        for record_id in ids:
            missing = self._missing.close(record_id)
            if missing is None:
                continue
            for name in missing.announcers:
                holders.setdefault(name, set()).add(record_id)
            if hops:
                self._timing.on_lag(now - missing.announced_at)
                shortcut = self._shortcut(missing, hops, source) if shortcut is None else shortcut
        return holders, shortcut

    def _shortcut(self, missing: MissingRecord, hops: int, source: int | None) -> int | None:
        """A lazy link that announced a record with far fewer hops than it came with, and has kept its promises."""
        for name, announced in missing.announcers.items():
            branch = self._links[name]
            is_short = 0 < announced <= hops - self._limits.shortcut_hops
            if is_short and name != source and not branch.is_eager and not branch.doubts:
                return name
        return None

    def _welcome(self, source: int | None, shortcut: int | None, is_live: bool, now: float) -> list[Output]:
        """A link brought what was not here: it is to be believed. With news it joins the tree, or a shortcut does."""
        sender = None if source is None else self._links.get(source)
        if source is None or sender is None:
            return []
        sender.doubts = 0
        if not is_live or self._is_settling(sender, now):
            return []
        sender.is_eager = True
        if shortcut is None:
            return []
        self._links[shortcut].is_eager = True
        return [SendWant(shortcut, (), eager=True), self._prune(source, sender, now)]

    def _closes_circle(self, ids: tuple[str, ...], source: int) -> bool:
        """Whether the first copy of any came, as news, over another link that is open and eager."""
        for record_id in ids:
            came = self._recents.get(record_id)
            if came is not None and came.link is not None and came.link != source:
                first = self._links.get(came.link)
                if first is not None and first.is_eager:
                    return True
        return False

    def _is_settling(self, link: TreeLink, now: float) -> bool:
        """Whether what comes over the link may have left before our `prune` arrived there."""
        return link.pruned_at is not None and now - link.pruned_at < self._timing.answer_s(link.round_trip_s)

    def _prune(self, name: int, link: TreeLink, now: float) -> SendPrune:
        link.is_eager = False
        link.pruned_at = now
        return SendPrune(name)

    def _tell(self, name: int, branch: TreeLink, ids: tuple[str, ...], hops: int, now: float) -> list[SendHave]:
        """Announce these soon; at once where nothing is to gather, or a frame is full."""
        if not self._limits.gather_s:
            return [SendHave(name, frame, hops) for frame in frames(ids)]
        if self._tell_at is None and ids:
            self._tell_at = now + self._limits.gather_s
        return [SendHave(name, frame, hops) for frame in branch.gather(ids, hops)]

    def _ask(self, now: float) -> list[Output]:
        """Ask for each id that is due, and give up what every announcer was asked for often enough."""
        asked: dict[int, dict[bool, list[str]]] = {}
        silent: dict[int, None] = {}
        for record_id, missing in self._missing.due(now):
            if missing.asked is not None:
                silent[missing.asked] = None
            name = self._choose(missing, asked)
            if name is None:
                self._neglected.update(dict.fromkeys(missing.announcers))
                self._missing.close(record_id)
                continue
            group = asked.setdefault(name, {}).setdefault(missing.announcers[name] > 0, [])
            group.append(record_id)
            answer_s = self._timing.answer_s(self._links[name].round_trip_s) + ANSWER_EACH_S * len(group)
            self._missing.ask(record_id, name, now + answer_s * 2 ** (missing.asks // len(missing.announcers)))
        for name in silent:
            self._links[name].doubt(now)
        return list(self._wanted(asked))

    def _choose(self, missing: MissingRecord, asked: Container[int]) -> int | None:
        """Another announcer than last time, one that kept its promises, best one that is asked anyway: so that not
        every link becomes eager where many ids are missed at once.
        """
        announcers = missing.announcers
        if missing.asks >= ASKS_MAX * len(announcers):
            return None
        return min(announcers, key=lambda name: (name == missing.asked, self._links[name].doubts, name not in asked))

    def _wanted(self, asked: dict[int, dict[bool, list[str]]]) -> Iterator[Output]:
        for name, groups in asked.items():
            for is_live, ids in groups.items():
                if is_live:
                    self._links[name].is_eager = True
                for frame in frames(tuple(ids)):
                    yield SendWant(name, frame, eager=is_live)

    def _remember(self, ids: tuple[str, ...], came: FirstCopy | None) -> None:
        recents = self._recents
        for record_id in ids:
            recents[record_id] = came
        if len(recents) > self._limits.recents_max:
            # Many at once: to find the oldest of a dict, Python walks past all that were deleted before it.
            oldest = islice(recents, len(recents) - self._limits.recents_max * 7 // 8)
            for record_id in list(oldest):
                del recents[record_id]


def _told(name: int, branch: TreeLink) -> Iterator[SendHave]:
    """Announce what has gathered for the link."""
    return (SendHave(name, ids, hops) for hops, ids in branch.take())
