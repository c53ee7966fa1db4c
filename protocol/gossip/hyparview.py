"""HyParView: give every node a few random neighbours, although no node knows all others.

The algorithm is HyParView (Leitao, Pereira, Rodrigues, "HyParView: a membership protocol for reliable gossip-based
broadcast", DSN 2007). One `HyParView` serves one node.

A node keeps two *views*. The *active view* is small and symmetric. Its members are the node's *neighbours*: with each
there is an open connection, and gossip runs over these connections. The *passive view* is larger and consists of
addresses only. When a neighbour fails, an address of the passive view takes its place.

- Join: a new node sends `Join` to a node that it knows. Random walks (`ForwardJoin`) carry its address to a few nodes
  far apart, which take it into their active views.
- Repair: a node without enough neighbours asks addresses of its passive view (`Neighbour`). A node with very few
  neighbours asks *urgently*, and an urgent request is never declined.
- Shuffle: from time to time a node exchanges a few addresses with a node some steps away (`Shuffle`), so that passive
  views stay fresh and random.

What differs from the paper:

- Every second shuffle is a *visit*: it goes straight to an address of the passive view. A random walk reaches only
  nodes that have neighbours, so it never finds a node that lost all its neighbours, although some passive view may
  still contain its address. Visits also find dead addresses, and they even out how many nodes know each node.
- After a node was declined, it asks the next address at once only if it has very few neighbours. Otherwise it waits
  `retry_s`. A node that declines has a full active view. In a network of full nodes, a node that lacks one neighbour
  would otherwise ask all the addresses that it knows, over and over.

A broken connection is the only sign of failure, and both ends notice it at once. Dead addresses leave a passive view
when the node tries them. Addresses are strings whose meaning only the caller knows; the caller also says which address
each message came from. Times are seconds of one steady clock. If a `SendMessage` goes to a node that is no neighbour,
the caller connects to that node first, and calls `on_unreachable` if the connection fails.
"""

from collections.abc import Iterable, Sequence
from random import Random

import msgspec

Address = str


class HyParViewLimits(msgspec.Struct, frozen=True):
    """Sizes of views and lengths of walks. Where no reason is given, the value is the paper's, for 10,000 nodes."""

    active_max: int = 5
    active_min: int = 3
    """With fewer neighbours than this a node asks urgently. The paper has 1. With 1 in simulation, a few nodes that had
    only each other as neighbours were cut off for good, in one network of three with 10,000 nodes."""

    passive_max: int = 60
    """The paper has 30. A node is lost if all nodes that it knows fail and all nodes that know it fail. If 95 of 100
    nodes fail, the chance of that is 0.95^(35 + 35), or 3 in 100, with 30 and 5 addresses. With 60 and 5 it is 1 in
    1,000."""

    active_walk: int = 6
    """Steps of a `ForwardJoin`. The node at the end becomes the joiner's neighbour."""

    passive_walk: int = 3
    """With this many steps left, a node on the way adds the joiner to its passive view."""

    shuffle_active: int = 3
    """Addresses of the active view in a shuffle."""

    shuffle_passive: int = 4
    """Addresses of the passive view in a shuffle."""

    shuffle_s: float = 30.0
    """Seconds between two shuffles, more or less by a random fifth."""

    visit_s: float = 1.0
    """Seconds from a visit that found nobody to the next. A guess; more than 0, because addresses may be false."""

    retry_s: float = 10.0
    """Seconds to wait for the answer to a `Neighbour`, and before asking again those who declined. A guess."""


# The messages. Each docstring says what the sender means.


class Join(msgspec.Struct, frozen=True, tag=True, gc=False):
    """I am new. Take me as a neighbour and tell others about me."""


class ForwardJoin(msgspec.Struct, frozen=True, tag=True, gc=False):
    """This node is new. Carry its address on by this many steps, or take the node as a neighbour."""

    joiner: Address
    steps: int


class Neighbour(msgspec.Struct, frozen=True, tag=True, gc=False):
    """I want to be your neighbour. Urgent: I have very few."""

    is_urgent: bool


class NeighbourReply(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Accepted: you are now my neighbour. Otherwise: my active view is full."""

    is_accepted: bool


class Disconnect(msgspec.Struct, frozen=True, tag=True, gc=False):
    """You are no longer my neighbour, because I made room for another."""


class Shuffle(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Carry these addresses on by this many steps. The last node keeps them and sends its own to the origin."""

    origin: Address
    steps: int
    sample: tuple[Address, ...]


class ShuffleReply(msgspec.Struct, frozen=True, tag=True, gc=False):
    """These addresses of mine are for the ones that you sent."""

    sample: tuple[Address, ...]


Message = Join | ForwardJoin | Neighbour | NeighbourReply | Disconnect | Shuffle | ShuffleReply


class SendMessage(msgspec.Struct, frozen=True, gc=False):
    """Send this message. If there is no connection, connect first."""

    to: Address
    message: Message


class Up(msgspec.Struct, frozen=True, gc=False):
    """This node is now a neighbour: keep the connection and run gossip over it."""

    neighbour: Address


class Down(msgspec.Struct, frozen=True, gc=False):
    """This node is no longer a neighbour: send what is queued for it, then close the connection."""

    neighbour: Address


Output = SendMessage | Up | Down


class HyParView:
    """The views of one node."""

    __slots__ = (
        "_active",
        "_asked",
        "_limits",
        "_me",
        "_not_again",
        "_passive",
        "_random",
        "_retry_at",
        "_shuffle_at",
        "_shuffled",
        "_visited",
    )

    def __init__(self, me: Address, limits: HyParViewLimits, random: Random, now: float) -> None:
        """`me` is the node's own address. `random` draws all choices; nodes of a simulation may share it."""
        self._me = me
        self._limits = limits
        self._random = random
        self._active: list[Address] = []
        self._passive: dict[Address, None] = {}
        """An ordered set."""
        self._asked: dict[Address, float] = {}
        """Addresses with an unanswered `Neighbour`, and the time until which each may answer."""
        self._not_again: dict[Address, None] = {}
        """Addresses not to ask before the next retry: they declined, were unreachable, or accepted too late."""
        self._shuffled: tuple[Address, ...] = ()
        """The addresses sent in the last shuffle; empty once the reply has come."""
        self._visited: Address | None = None
        """The address of the last visit. None: the last shuffle was a walk, or the visit found nobody."""
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
        """When to call `on_time`."""
        return self._shuffle_at if self._retry_at is None else min(self._shuffle_at, self._retry_at)

    def join(self, contact: Address) -> list[Output]:
        """Enter the network through a node that is in it."""
        return [SendMessage(contact, Join()), *self._become_neighbours(contact)]

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
        """The connection to this node broke or failed. Forget its address, and replace it if it was a neighbour."""
        outputs: list[Output] = []
        if address in self._active:
            self._active.remove(address)
            outputs.append(Down(address))
        self._passive.pop(address, None)
        if self._asked.pop(address, None) is not None:
            self._not_again[address] = None
        if address == self._visited:
            self._visited = None
            self._shuffle_at = min(self._shuffle_at, now + self._limits.visit_s)
        return outputs + self._ask_for_neighbours(now)

    def on_time(self, now: float) -> list[Output]:
        """Do what is due by now. A call that comes too early does nothing."""
        outputs: list[Output] = []
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            self._not_again.clear()
            self._asked = {address: until for address, until in self._asked.items() if until > now}
            outputs += self._ask_for_neighbours(now)
        if self._shuffle_at <= now:
            self._shuffle_at = now + self._limits.shuffle_s * (0.8 + 0.4 * self._random.random())
            outputs += self._shuffle()
        return outputs

    # Joining.

    def _on_join(self, joiner: Address) -> list[Output]:
        if joiner == self._me:
            return []
        others = [each for each in self._active if each != joiner]
        outputs = self._become_neighbours(joiner)
        walk = ForwardJoin(joiner, self._limits.active_walk)
        return outputs + [SendMessage(each, walk) for each in others if each in self._active]

    def _on_forward_join(self, sender: Address, joiner: Address, steps: int) -> list[Output]:
        """Algorithm 1 of the paper. The walk also ends at a node that has no other neighbour to send it to."""
        if joiner == self._me:
            return []
        ahead = [each for each in self._active if each not in (sender, joiner)]
        if steps <= 0 or not ahead:
            if joiner in self._active:
                return []
            return [SendMessage(joiner, Neighbour(is_urgent=True)), *self._become_neighbours(joiner)]
        if steps == self._limits.passive_walk:
            self._add_to_passive([joiner])
        return [SendMessage(self._one_of(ahead), ForwardJoin(joiner, steps - 1))]

    # Neighbours.

    def _on_neighbour(self, sender: Address, is_urgent: bool) -> list[Output]:
        has_room = sender in self._active or len(self._active) < self._limits.active_max
        is_accepted = sender != self._me and (is_urgent or has_room)
        reply = SendMessage(sender, NeighbourReply(is_accepted))
        return [reply, *self._become_neighbours(sender)] if is_accepted else [reply]

    def _on_neighbour_reply(self, sender: Address, is_accepted: bool, now: float) -> list[Output]:
        if self._asked.pop(sender, None) is None:
            return []  # a join's walk made it a neighbour without waiting for this reply, or the reply is late
        if not is_accepted:
            self._not_again[sender] = None
            return self._ask_if_few(now)
        if len(self._active) < self._limits.active_max or sender in self._active:
            return self._become_neighbours(sender)
        # Three nodes with one free place each can ask each other in a circle. If they asked again at once, each would
        # accept one node, send the other away and ask it again, for ever.
        self._not_again[sender] = None
        return [SendMessage(sender, Disconnect())]

    def _on_disconnect(self, sender: Address, now: float) -> list[Output]:
        if sender not in self._active:
            return []
        self._active.remove(sender)
        self._add_to_passive([sender])
        if len(self._active) >= self._limits.active_min:
            # The sender has no room. A node with very few neighbours asks it again, because it may know nobody else.
            self._not_again[sender] = None
        return [Down(sender), *self._ask_for_neighbours(now)]

    def _become_neighbours(self, address: Address) -> list[Output]:
        """Add a node to the active view. If the view is full, remove a random neighbour first."""
        if address in self._active or address == self._me:
            return []
        outputs: list[Output] = []
        if len(self._active) >= self._limits.active_max:
            dropped = self._active.pop(int(self._random.random() * len(self._active)))
            self._add_to_passive([dropped])
            outputs = [SendMessage(dropped, Disconnect()), Down(dropped)]
        self._passive.pop(address, None)
        self._asked.pop(address, None)
        self._active.append(address)
        return [*outputs, Up(address)]

    def _ask_for_neighbours(self, now: float) -> list[Output]:
        """Ask as many addresses of the passive view as the active view has room for, and set the time of the next try.

        Between two retries a node asks at most `passive_max` addresses. Peers fill the passive view, and must not be
        able to make this node connect to a long list of addresses at full speed.
        """
        if len(self._active) + len(self._asked) >= self._limits.active_max:
            return []
        room = self._limits.active_max - len(self._active) - len(self._asked)
        room = min(room, self._limits.passive_max - len(self._not_again))
        candidates = [each for each in self._passive if each not in self._asked and each not in self._not_again]
        chosen = self._draw(candidates, room)
        if self._retry_at is None:
            self._retry_at = now + self._limits.retry_s
        self._asked.update(dict.fromkeys(chosen, now + self._limits.retry_s))
        request = Neighbour(is_urgent=len(self._active) < self._limits.active_min)
        return [SendMessage(each, request) for each in chosen]

    def _ask_if_few(self, now: float) -> list[Output]:
        """Ask at once if the node has very few neighbours; otherwise wait for the next retry."""
        return self._ask_for_neighbours(now) if len(self._active) < self._limits.active_min else []

    # Shuffles.

    def _shuffle(self) -> list[Output]:
        """Visits and walks take turns. If the passive view is empty it is a walk; without neighbours it is a visit."""
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
        return [SendMessage(to, Shuffle(self._me, steps, self._shuffled))]

    def _on_shuffle(self, sender: Address, shuffle: Shuffle, now: float) -> list[Output]:
        origin, steps = shuffle.origin, min(shuffle.steps, self._limits.active_walk)
        ahead = [each for each in self._active if each not in (sender, origin)] if steps > 1 else []
        if ahead:
            return [SendMessage(self._one_of(ahead), Shuffle(origin, steps - 1, shuffle.sample))]
        if origin == self._me:
            return []
        sample = self._cut(shuffle.sample)
        given = self._draw(list(self._passive), len(sample) + 1)
        self._add_to_passive((origin, *sample), given)
        return [SendMessage(origin, ShuffleReply(tuple(given))), *self._ask_if_few(now)]

    def _on_shuffle_reply(self, sample: tuple[Address, ...], now: float) -> list[Output]:
        if self._shuffled:  # a reply to no shuffle of ours could fill our passive view with false addresses
            given, self._shuffled = self._shuffled, ()
            self._add_to_passive(self._cut(sample), given)
        return self._ask_if_few(now)

    def _cut(self, sample: tuple[Address, ...]) -> tuple[Address, ...]:
        """As many addresses of a sample as an honest node sends."""
        return sample[: self._limits.shuffle_active + self._limits.shuffle_passive]

    # The passive view, and random choices.

    def _add_to_passive(self, addresses: Iterable[Address], given: Sequence[Address] = ()) -> None:
        """Add these addresses. If the view is full, they replace those given to the other node, then random ones."""
        passive = self._passive
        leaving = [each for each in given if each in passive]
        for address in addresses:
            if address in passive or address in self._active or address == self._me:
                continue
            if len(passive) >= self._limits.passive_max:
                del passive[leaving.pop() if leaving else self._one_of(list(passive))]
            passive[address] = None

    def _draw(self, addresses: list[Address], count: int) -> list[Address]:
        """At most `count` random addresses of a list, which it reorders: the first steps of a Fisher-Yates shuffle."""
        random, length = self._random.random, len(addresses)
        for place in range(min(count, length)):
            other = place + int(random() * (length - place))
            addresses[place], addresses[other] = addresses[other], addresses[place]
        return addresses[: max(count, 0)]

    def _one_of(self, addresses: Sequence[Address]) -> Address:
        return addresses[int(self._random.random() * len(addresses))]
