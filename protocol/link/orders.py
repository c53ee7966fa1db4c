"""What a link asks of its node: values that the node carries out in the order given.

A link knows keys, ids and frames. Sockets, the store and the pipeline belong to the node. If an order has an answer,
its docstring names the call that brings the answer. The node may carry out an order late: the link waits for the
answers, with bounded work under way.
"""

import msgspec

from protocol.link.messages import Erased, Have, Hello, Item, Message, Prune, Want, encode
from protocol.link.terms import Flow


class Send(msgspec.Struct, frozen=True):
    """Write this text frame, after all earlier frames."""

    text: str


class Take(msgspec.Struct, frozen=True):
    """Take in these records, with the trust of the link's terms. Answer with `on_taken(seq, ...)` after the commit.

    Several takes may be under way, and they may end in any order. `domain`: the records answer our `since` for this
    domain; None: they do not. `hops`: how many links the live records have crossed; 0: the records come from a catch-up
    or a repair.
    """

    seq: int
    items: tuple[Item, ...]
    domain: str | None
    hops: int


class Load(msgspec.Struct, frozen=True):
    """Read these records. Answer with `on_loaded(ticket, ...)`. One load is under way at a time.

    `ids` are hex, at most 256. The answer has the records in this order, without those that are not held. Erased
    records stand in it as skeletons, because the link has to know that it is through with them. The answer has at most
    `bytes_max` canonical bytes in total, but always at least one record if any is held.
    """

    ticket: int
    ids: tuple[str, ...]
    bytes_max: int


class PutCursor(msgspec.Struct, frozen=True):
    """Store how far a flow has come in a domain: all records up to this timestamp, in seconds, went through once.

    The order comes often, so the node stores the last cursor from time to time. A link does not know the time of day,
    so the node never stores a cursor ahead of its own clock (`protocol.sets.paging.Pass.cursor` says why).
    """

    domain: str
    flow: Flow
    timestamp: int


class Heard(msgspec.Struct, frozen=True):
    """A message for the gossip of the whole node. `Link.give` answers a `want`."""

    message: Have | Want | Prune | Erased


class Noticed(msgspec.Struct, frozen=True):
    """The peer says that something is wrong, and goes on. It may use a code that this version does not know."""

    code: str
    detail: str


class Opened(msgspec.Struct, frozen=True):
    """The peer has proved that it holds this key."""

    peer_key: str
    hello: Hello


class Found(msgspec.Struct, frozen=True):
    """A repair found records that one side should have had: the peer lacks `have` of them, and this node lacks `need`.

    A repair should find no record.
    """

    domain: str
    have: int
    need: int


class Close(msgspec.Struct, frozen=True):
    """Close the connection after everything that was sent.

    `is_theirs`: the peer said this, so the code may be one that this version does not know.
    """

    code: str
    detail: str
    is_theirs: bool = False


Order = Send | Take | Load | PutCursor | Heard | Noticed | Opened | Found | Close


class Outbox:
    """Where the parts of one link put their orders, until the call that made them returns."""

    def __init__(self) -> None:
        self._orders: list[Order] = []

    def put(self, order: Order) -> None:
        self._orders.append(order)

    def send(self, *messages: Message) -> None:
        self._orders.extend(Send(encode(message)) for message in messages)

    def put_frame(self, frame: str) -> None:
        """Send this frame, whose text exists already."""
        self._orders.append(Send(frame))

    def drain(self) -> list[Order]:
        orders, self._orders = self._orders, []
        return orders
