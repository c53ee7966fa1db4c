"""Mischief over links: what an impostor does after a node has accepted its link. Swarms draw one of these kinds.

Each kind ends with its link, which the node closes or the impostor leaves. It may cost the node some time and must do
no other harm. The checkers look for any other harm.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from websockets.exceptions import WebSocketException

from protocol.link.messages import Ack, CaughtUp, Domains, Have, Prune, Reconcile, Since, Summary, Want
from protocol.records.record import SignedRecord
from simulations.cast.impostor import ImpostorLink, linked
from simulations.cast.machine import Machine
from simulations.cast.user import DOMAIN, User

LINGER_S: Final = 5.0
"""How long an impostor waits for the node to close the link, in seconds."""

_LINK_ERRORS: Final = (OSError, TimeoutError, WebSocketException)
"""How a link fails when the node is down, does not answer, or closes it."""

_LIES: Final = 3
_PROMISED_IDS: Final = 50
_FORGED_RECORDS: Final = 5
_LOSERS: Final = 60
_LOSERS_PER_FRAME: Final = 30
_SEQ_NEVER_SENT: Final = 1_000_000
_RANGES: Final = 2_000
_LISTS: Final = 8
_NAMES_PER_LIST: Final = 100
_FOUNDED_DOMAINS: Final = 25
_NEWS: Final = 5
_NEWS_EVERY_S: Final = 0.5


Mischief = Callable[[ImpostorLink, User, str], Awaitable[None]]
"""What an impostor does over an open link with the key of this user. The last argument is a label."""


async def make_mischief(mischief: Mischief, user: User, machine: Machine, label: str) -> None:
    """Open a link to this machine's node, and do one kind of mischief over it."""
    with suppress(*_LINK_ERRORS):
        async with linked(user, machine) as link:
            await mischief(link, user, label)
            await link.close_reason(LINGER_S)


async def nonsense(link: ImpostorLink, user: User, _label: str) -> None:
    """Send a frame that is correct but for a few characters."""
    text = '{"type":"since","domain":"example.org","timestamp":1}'
    at = user.stream.randrange(len(text))
    await link.send_text(text[:at] + chr(user.stream.randrange(32, 1_000)) + text[at + user.stream.randrange(3) :])


async def lies(link: ImpostorLink, user: User, _label: str) -> None:
    """Lie about the held records, and in every message of a comparison."""
    summary = Summary(count=user.stream.randrange(10_000), fingerprint=user.stream.randbytes(16).hex(), newest=1)
    await link.send(Domains({DOMAIN: summary, "nowhere": summary}))
    await link.send(Since(DOMAIN, user.stream.randrange(2**31)))
    for _ in range(_LIES):
        await link.send(Reconcile(DOMAIN, b"a" + user.stream.randbytes(user.stream.randrange(100))))
    await link.send(CaughtUp(DOMAIN, summary.count, summary.fingerprint))


async def promises(link: ImpostorLink, user: User, _label: str) -> None:
    """Announce records that do not exist, ask for them, and prune the link."""
    ids = tuple(user.stream.randbytes(32).hex() for _ in range(_PROMISED_IDS))
    await link.send(Have(ids, 1))
    await link.send(Want(ids, eager=True))
    await link.send(Prune())
    await asyncio.sleep(LINGER_S)


async def forgeries(link: ImpostorLink, user: User, label: str) -> None:
    """Send genuine records, and among them one with the signature of another record."""
    now = int(user.clock.now_s())
    records = [user.sign(label, now, number=number) for number in range(_FORGED_RECORDS)]
    forged = SignedRecord(records[0].signature, records[1].record)
    await link.send_records([*records[2:], forged])


async def losers(link: ImpostorLink, user: User, label: str) -> None:
    """Send valid records that lose against the label's history, and acknowledge a frame that was never sent."""
    now = int(user.clock.now_s())
    for begin in range(0, _LOSERS, _LOSERS_PER_FRAME):
        numbers = range(begin, begin + _LOSERS_PER_FRAME)
        await link.send_records([user.sign(label, now, number=number) for number in numbers])
    await link.send(Ack(_SEQ_NEVER_SENT))


async def ranges(link: ImpostorLink, user: User, _label: str) -> None:
    """Compare ranges without a key: such frames cost the sender little. Ask for the list of domains with empty ones."""
    kinds = (bytes.fromhex("010000"), bytes.fromhex("01000200"), bytes.fromhex("010001") + user.stream.randbytes(16))
    for each in kinds:
        await link.send(Reconcile(DOMAIN, b"a" + each * _RANGES))
        await link.send(Domains({}))


async def names(link: ImpostorLink, user: User, _label: str) -> None:
    """List domains that do not exist, and others each time. A node that remembered them would grow without end."""
    for _ in range(_LISTS):
        summary = Summary(count=1, fingerprint=user.stream.randbytes(16).hex(), newest=1)
        await link.send(Domains({f"d{user.stream.getrandbits(60)}.example": summary for _ in range(_NAMES_PER_LIST)}))


async def domains(link: ImpostorLink, user: User, label: str) -> None:
    """Found domains whose names begin with the label."""
    now = int(user.clock.now_s())
    await link.send_records([user.sign(label, now, domain=f"{label}-{n}.example") for n in range(_FOUNDED_DOMAINS)])


async def send_to_both(user: User, machine: Machine, other: Machine, label: str) -> None:
    """Link to two machines, send news to both at once, and forward nothing.

    Each machine hears the other one's news too late. A machine that pruned the other one for that would hear what the
    stranger keeps back only after long.
    """
    with suppress(*_LINK_ERRORS):
        async with linked(user, machine) as one, linked(user, other) as two:
            for number in range(_NEWS):
                news = [user.sign(f"{label}-{user.name}", int(user.clock.now_s()) + number)]
                await asyncio.gather(one.send_records(news), two.send_records(news))
                await asyncio.sleep(_NEWS_EVERY_S)
            await one.close_reason(LINGER_S)
