"""The pace of attackers, of the honest client and of the measurement beside them."""

import asyncio


async def pause(seconds: float) -> None:
    """Wait between two turns, because somebody acts at this speed. No event tells when the next turn is due."""
    await asyncio.sleep(seconds)
