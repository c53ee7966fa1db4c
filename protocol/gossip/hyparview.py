"""Membership: a few neighbours for every node, chosen by chance, though none knows all the others. HyParView (Leitao,
Pereira, Rodrigues, "HyParView: a membership protocol for reliable gossip-based broadcast", DSN 2007), as one machine.

A node keeps two *views*. The *active* one is small and symmetric: with each neighbour in it there is an open
connection, over which gossip flows. The *passive* one is larger and holds nothing open: addresses to fall back on. Who
joins is carried by random walks to a few nodes far apart, which take it into their active views. From time to time a
node *shuffles*: it swaps a handful of addresses with a node some steps away, so that the passive views stay fresh and
random. When a connection breaks, an address of the passive view takes the neighbour's place; a request to become one
is *urgent* from a node with hardly any, and is then never declined.

What differs from the paper: every second shuffle is a *visit*, straight to an address of the passive view. A walk leads
only to nodes that have neighbours, and one that lost them all, with all others that it knew, may be known to somebody
yet. Visits find dead addresses, too, and make all nodes known to about as many others. Whoever declines is full, so
the next is asked at once only by a node with hardly any neighbours: else those that lack one in a full network would
ask all that they know, over and over.

Broken connections are the only sign of failure, and they are noticed at once: dead addresses leave the views by being
tried. Addresses are strings whose meaning the caller knows; messages say from whom they come. Times are seconds of one
steady clock. Where an output is a `Send` to a node that is no neighbour, the caller connects for it, and says
`on_unreachable` where that fails.
"""

from collections.abc import Iterable, Sequence
from random import Random

import msgspec

Address = str


class HyParViewLimits(msgspec.Struct, frozen=True):
    """Sizes of views and lengths of walks; the defaults are the paper's, for 10,000 nodes, where no other is named."""

    active_max: int = 5
    active_min: int = 3
    """With fewer neighbours than this a node asks urgently. The paper has 1; in simulation a few nodes that had only
    each other were then cut off for good, in one network of three with 10,000 nodes."""

    passive_max: int = 60
    """The paper has 30. A node is lost if all that it knows fail, and all that know it: where 95 of 100 fail, that is
    0.95^(35 + 35) or 3 in 100 nodes with 30 and 5, and 1 in 1,000 with 60 and 5."""

    active_walk: int = 6
    """Steps that a joiner's address is carried, to where it becomes a neighbour."""

    passive_walk: int = 3
    """Steps left when it is noted in a passive view on the way."""

    shuffle_active: int = 3
    shuffle_passive: int = 4
    shuffle_s: float = 30.0
    """Between two shuffles, give or take a fifth by chance."""

    visit_s: float = 1.0
    """How soon another is visited where one was out of reach, and no sooner, as addresses may be false: a guess."""

    retry_s: float = 10.0
    """How long to wait for an answer, and before those who declined are asked again: a guess."""


class Join(msgspec.Struct, frozen=True, tag=True, gc=False):
    """I am new: take me as a neighbour and let others know."""


class ForwardJoin(msgspec.Struct, frozen=True, tag=True, gc=False):
    """This node is new. Carry it on by so many steps, or take it as a neighbour."""

    joiner: Address
    steps: int


class Neighbour(msgspec.Struct, frozen=True, tag=True, gc=False):
    """I want to be your neighbour. If it is urgent I have hardly any."""

    is_urgent: bool


class NeighbourReply(msgspec.Struct, frozen=True, tag=True, gc=False):
    """You are my neighbour now, or I have no room."""

    is_accepted: bool


class Disconnect(msgspec.Struct, frozen=True, tag=True, gc=False):
    """You are my neighbour no longer: I made room for another."""


class Shuffle(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Carry these addresses on by so many steps; who takes them sends the origin as many in return."""

    origin: Address
    steps: int
    sample: tuple[Address, ...]


class ShuffleReply(msgspec.Struct, frozen=True, tag=True, gc=False):
    """These are mine, for yours."""

    sample: tuple[Address, ...]


Message = Join | ForwardJoin | Neighbour | NeighbourReply | Disconnect | Shuffle | ShuffleReply


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send this message; connect first where there is no connection."""

    to: Address
    message: Message


class Up(msgspec.Struct, frozen=True, gc=False):
    """A neighbour: keep the connection, gossip over it."""

    neighbour: Address


class Down(msgspec.Struct, frozen=True, gc=False):
    """A neighbour no longer: close the connection once what was sent before is sent."""

    neighbour: Address


Output = Send | Up | Down


class HyParView:
    """The views of one node."""

    __slots__ = (
        "_active",
        "_asked",
        "_declined",
        "_limits",
        "_me",
        "_passive",
        "_random",
        "_retry_at",
        "_shuffle_at",
        "_shuffled",
        "_visited",
    )

    def __init__(self, me: Address, limits: HyParViewLimits, random: Random, now: float) -> None:
        self._me = me
        self._limits = limits
        self._random = random
        self._active: list[Address] = []
        self._passive: dict[Address, None] = {}
        self._asked: dict[Address, float] = {}
        """Requests to become neighbours that are not answered, and until when they may be."""
        self._declined: dict[Address, None] = {}
        """Not to be asked before the next retry: no room, or not reached."""
        self._shuffled: tuple[Address, ...] = ()
        """What was given away in the last shuffle, empty once it was answered."""
        self._visited: Address | None = None
        """Who was shuffled with last; None: that was a walk, or they were out of reach."""
        self._retry_at: float | None = None
        self._shuffle_at = now + limits.shuffle_s * random.random()

    @property
    def active(self) -> tuple[Address, ...]:
        """The neighbours."""
        return tuple(self._active)

    @property
    def passive(self) -> tuple[Address, ...]:
        return tuple(self._passive)

    @property
    def next_at(self) -> float:
        """When `on_time` is to be called."""
        return self._shuffle_at if self._retry_at is None else min(self._shuffle_at, self._retry_at)

    def join(self, contact: Address) -> list[Output]:
        """Enter the network through a node that is in it."""
        return [Send(contact, Join()), *self._take(contact)]

    def on_message(self, sender: Address, message: Message, now: float) -> list[Output]:
        match message:
            case Shuffle():
                return self._on_shuffle(sender, message, now)
            case ShuffleReply(sample):
                return self._on_shuffle_reply(sample, now)
            case ForwardJoin(joiner, steps):
                return self._on_forward_join(sender, joiner, min(steps, self._limits.active_walk))
            case Join():
                return self._on_join(sender)
            case Neighbour(is_urgent):
                return self._on_neighbour(sender, is_urgent)
            case NeighbourReply(is_accepted):
                return self._on_neighbour_reply(sender, is_accepted, now)
            case Disconnect():
                return self._on_disconnect(sender, now)

    def on_unreachable(self, address: Address, now: float) -> list[Output]:
        """The connection broke, or could not be made. The address is forgotten, and a neighbour replaced."""
        outputs: list[Output] = []
        if address in self._active:
            self._active.remove(address)
            outputs.append(Down(address))
        self._passive.pop(address, None)
        if self._asked.pop(address, None) is not None:
            self._declined[address] = None
        if address == self._visited:
            self._visited = None
            self._shuffle_at = min(self._shuffle_at, now + self._limits.visit_s)
        return outputs + self._fill(now)

    def on_time(self, now: float) -> list[Output]:
        """Do what is due by now; nothing where it is too early."""
        outputs: list[Output] = []
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            self._declined.clear()
            self._asked = {address: until for address, until in self._asked.items() if until > now}
            outputs += self._fill(now)
        if self._shuffle_at <= now:
            self._shuffle_at = now + self._limits.shuffle_s * (0.8 + 0.4 * self._random.random())
            outputs += self._shuffle()
        return outputs

    def _on_join(self, joiner: Address) -> list[Output]:
        if joiner == self._me:
            return []
        others = [each for each in self._active if each != joiner]
        outputs = self._take(joiner)
        walk = ForwardJoin(joiner, self._limits.active_walk)
        return outputs + [Send(each, walk) for each in others if each in self._active]

    def _on_forward_join(self, sender: Address, joiner: Address, steps: int) -> list[Output]:
        """Paper, algorithm 1. The walk ends where it can go no further, too."""
        if joiner == self._me:
            return []
        ahead = [each for each in self._active if each not in (sender, joiner)]
        if steps <= 0 or not ahead:
            is_known = joiner in self._active
            return [] if is_known else [Send(joiner, Neighbour(is_urgent=True)), *self._take(joiner)]
        if steps == self._limits.passive_walk:
            self._note([joiner])
        return [Send(self._one_of(ahead), ForwardJoin(joiner, steps - 1))]

    def _on_neighbour(self, sender: Address, is_urgent: bool) -> list[Output]:
        has_room = sender in self._active or len(self._active) < self._limits.active_max
        is_accepted = sender != self._me and (is_urgent or has_room)
        reply = Send(sender, NeighbourReply(is_accepted))
        return [reply, *self._take(sender)] if is_accepted else [reply]

    def _on_neighbour_reply(self, sender: Address, is_accepted: bool, now: float) -> list[Output]:
        if self._asked.pop(sender, None) is None:
            return []  # taken at once, at the end of a join's walk; or too late
        if not is_accepted:
            self._declined[sender] = None
            return self._fill_if_few(now)
        if len(self._active) < self._limits.active_max or sender in self._active:
            return self._take(sender)
        return [Send(sender, Disconnect())]

    def _on_disconnect(self, sender: Address, now: float) -> list[Output]:
        if sender not in self._active:
            return []
        self._active.remove(sender)
        self._note([sender])
        if len(self._active) >= self._limits.active_min:
            self._declined[sender] = None  # it has no room; but whom else would a node ask that knows nobody yet?
        return [Down(sender), *self._fill(now)]

    def _shuffle(self) -> list[Output]:
        """A visit if the last one was a walk; while there is nobody to visit, or no way to walk, the other."""
        is_visit = bool(self._passive) and (self._visited is None or not self._active)
        known = list(self._passive) if is_visit else self._active
        if not known:
            return []
        to = self._one_of(known)
        self._visited = to if is_visit else None
        self._shuffled = (
            *self._draw([each for each in self._active if each != to], self._limits.shuffle_active),
            *self._draw([each for each in self._passive if each != to], self._limits.shuffle_passive),
        )
        steps = 1 if is_visit else self._limits.active_walk
        return [Send(to, Shuffle(self._me, steps, self._shuffled))]

    def _on_shuffle(self, sender: Address, shuffle: Shuffle, now: float) -> list[Output]:
        origin, steps = shuffle.origin, min(shuffle.steps, self._limits.active_walk)
        ahead = [each for each in self._active if each not in (sender, origin)] if steps > 1 else []
        if ahead:
            return [Send(self._one_of(ahead), Shuffle(origin, steps - 1, shuffle.sample))]
        if origin == self._me:
            return []
        sample = self._fitting(shuffle.sample)
        given = self._draw(list(self._passive), len(sample) + 1)
        self._note((origin, *sample), given)
        return [Send(origin, ShuffleReply(tuple(given))), *self._fill_if_few(now)]

    def _on_shuffle_reply(self, sample: tuple[Address, ...], now: float) -> list[Output]:
        if self._shuffled:  # else nobody asked for it: a way to fill our view with false addresses
            given, self._shuffled = self._shuffled, ()
            self._note(self._fitting(sample), given)
        return self._fill_if_few(now)

    def _take(self, address: Address) -> list[Output]:
        """Make it a neighbour, and room for it where there is none."""
        if address in self._active or address == self._me:
            return []
        outputs: list[Output] = []
        if len(self._active) >= self._limits.active_max:
            dropped = self._active.pop(int(self._random.random() * len(self._active)))
            self._note([dropped])
            outputs = [Send(dropped, Disconnect()), Down(dropped)]
        self._passive.pop(address, None)
        self._asked.pop(address, None)
        self._active.append(address)
        return [*outputs, Up(address)]

    def _fill(self, now: float) -> list[Output]:
        """Ask as many as there is room for; again later, when all were asked or too many: others fill the passive view,
        and must not make this node connect to a list of theirs at full speed.
        """
        if len(self._active) + len(self._asked) >= self._limits.active_max:
            return []
        room = self._limits.active_max - len(self._active) - len(self._asked)
        room = min(room, self._limits.passive_max - len(self._declined))
        candidates = [each for each in self._passive if each not in self._asked and each not in self._declined]
        chosen = self._draw(candidates, room)
        if self._retry_at is None:
            self._retry_at = now + self._limits.retry_s
        self._asked.update(dict.fromkeys(chosen, now + self._limits.retry_s))
        request = Neighbour(is_urgent=len(self._active) < self._limits.active_min)
        return [Send(each, request) for each in chosen]

    def _fill_if_few(self, now: float) -> list[Output]:
        """At once, instead of at the next retry, only where it matters."""
        return self._fill(now) if len(self._active) < self._limits.active_min else []

    def _note(self, addresses: Iterable[Address], given: Sequence[Address] = ()) -> None:
        """Into the passive view, in place of what was given away for them, or of any."""
        passive = self._passive
        leaving = [each for each in given if each in passive]
        for address in addresses:
            if address in passive or address in self._active or address == self._me:
                continue
            if len(passive) >= self._limits.passive_max:
                del passive[leaving.pop() if leaving else self._one_of(list(passive))]
            passive[address] = None

    def _fitting(self, sample: tuple[Address, ...]) -> tuple[Address, ...]:
        """No more of a sample than an honest node sends."""
        return sample[: self._limits.shuffle_active + self._limits.shuffle_passive]

    def _draw(self, addresses: list[Address], count: int) -> list[Address]:
        """Of a list made for it, as many as there are: a shuffle (Fisher and Yates) that ends when it has enough."""
        chance, there = self._random.random, len(addresses)
        for place in range(min(count, there)):
            other = place + int(chance() * (there - place))
            addresses[place], addresses[other] = addresses[other], addresses[place]
        return addresses[: max(count, 0)]

    def _one_of(self, addresses: Sequence[Address]) -> Address:
        return addresses[int(self._random.random() * len(addresses))]
