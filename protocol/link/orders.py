"""What a link asks of its node: values that the node carries out in the order given.

The machine deals in keys, ids and frames; sockets, the store and the pipeline are the node's. Each order that has an
answer says which call brings it. Orders that are carried out late are no fault, only slow: the machine waits for the
answers, with bounded work under way.
"""

import msgspec

from protocol.link.messages import Have, Hello, Item, Message, Prune, Want, encode
from protocol.link.terms import Flow


class Send(msgspec.Struct, frozen=True):
    """Write this text frame, after those before it."""

    text: str


class Take(msgspec.Struct, frozen=True):
    """Take in these records, in the trust of the link's terms; answer with `on_taken(seq, ...)` after the commit.

    Several takes may be under way, and may end in any order. `domain`: the records answer our `since` for it. `hops`:
    how many links they have crossed; 0: no news, but from a catch-up or a repair.
    """

    seq: int
    items: tuple[Item, ...]
    domain: str | None
    hops: int


class Load(msgspec.Struct, frozen=True):
    """Read these records; answer with `on_loaded(ticket, ...)`.

    `ids` are hex, at most 256. The answer has the records in this order, leaves out those that are not held, and stops
    before `bytes_max` canonical bytes are passed, though never before the first. One load is under way at a time.
    """

    ticket: int
    ids: tuple[str, ...]
    bytes_max: int


class PutCursor(msgspec.Struct, frozen=True):
    """Store how far a flow has come in a domain: all up to this timestamp, in seconds, went through once.

    Comes often, so store the last one now and then. The machine has no clock of the world: never store more than the
    node's own time (`protocol.sets.walk.Pass.cursor` says why).
    """

    domain: str
    flow: Flow
    timestamp: int


class Heard(msgspec.Struct, frozen=True):
    """What the peer said to the gossip of the whole node. A `want` is answered with `Link.give`."""

    message: Have | Want | Prune


class Opened(msgspec.Struct, frozen=True):
    """The peer has proved that it holds this key."""

    peer_key: str
    hello: Hello


class Found(msgspec.Struct, frozen=True):
    """A repair found so many records that one side lacked after it should have had them. It should find none."""

    domain: str
    have: int
    need: int


class Close(msgspec.Struct, frozen=True):
    """Close the connection after what was sent. `is_theirs`: the peer said this; its code may be one of its own."""

    code: str
    detail: str
    is_theirs: bool = False


Order = Send | Take | Load | PutCursor | Heard | Opened | Found | Close


class Outbox:
    """Where the parts of one link put their orders, until the call that made them returns."""

    def __init__(self) -> None:
        self._orders: list[Order] = []

    def put(self, order: Order) -> None:
        self._orders.append(order)

    def send(self, *messages: Message) -> None:
        self._orders.extend(Send(encode(message)) for message in messages)

    def drain(self) -> list[Order]:
        orders, self._orders = self._orders, []
        return orders
