"""Mischief over links: what an impostor does once a node has let it in, for runs that draw it by chance.

Each ends with the link, which the node closes or the impostor leaves. None of it may do more harm than the time that it
takes: the checkers look for anything else.
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
_GONE: Final = (OSError, TimeoutError, WebSocketException)
"""What a node that is down, far or fed up does to a link."""


Mischief = Callable[[ImpostorLink, User, str], Awaitable[None]]
"""What an impostor does over an open link with the key of this user; the last argument is a label."""


async def make_mischief(mischief: Mischief, user: User, machine: Machine, label: str) -> None:
    """One link, one kind of mischief."""
    with suppress(*_GONE):
        async with linked(user, machine) as link:
            await mischief(link, user, label)
            await link.close_reason(LINGER_S)


async def nonsense(link: ImpostorLink, user: User, _label: str) -> None:
    """Frames that are true but for some characters."""
    text = '{"type":"since","domain":"example.org","timestamp":1}'
    at = user.stream.randrange(len(text))
    await link.send_text(text[:at] + chr(user.stream.randrange(32, 1_000)) + text[at + user.stream.randrange(3) :])


async def lies(link: ImpostorLink, user: User, _label: str) -> None:
    """About what is held, and in every answer to a comparison."""
    summary = Summary(count=user.stream.randrange(10_000), fingerprint=user.stream.randbytes(16).hex(), newest=1)
    await link.send(Domains({DOMAIN: summary, "nowhere": summary}))
    await link.send(Since(DOMAIN, user.stream.randrange(2**31)))
    for _ in range(3):
        await link.send(Reconcile(DOMAIN, b"a" + user.stream.randbytes(user.stream.randrange(100))))
    await link.send(CaughtUp(DOMAIN, summary.count, summary.fingerprint))


async def promises(link: ImpostorLink, user: User, _label: str) -> None:
    """Tells of records that do not exist, wants others, and prunes whatever it hears."""
    ids = tuple(user.stream.randbytes(32).hex() for _ in range(50))
    await link.send(Have(ids, 1))
    await link.send(Want(ids, eager=True))
    await link.send(Prune())
    await asyncio.sleep(LINGER_S)


async def forgeries(link: ImpostorLink, user: User, label: str) -> None:
    """Good records among those that carry another's signature."""
    now = int(user.clock.now_s())
    records = [user.sign(label, now, number=number) for number in range(5)]
    forged = SignedRecord(records[0].signature, records[1].record)
    await link.send_records([*records[2:], forged])


async def losers(link: ImpostorLink, user: User, label: str) -> None:
    """Valid records that lose against whatever is there, and an acknowledgement of what was never sent."""
    now = int(user.clock.now_s())
    for begin in range(0, 60, 30):
        await link.send_records([user.sign(label, now, number=number) for number in range(begin, begin + 30)])
    await link.send(Ack(1_000_000))
