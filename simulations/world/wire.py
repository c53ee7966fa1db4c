"""A wire: the one-way connection from one host to another, with its weather.

Each wire draws from a random stream of its own, so that what happens on one wire changes nothing on another. If a fault
is taken out of a plan, the other faults stay as they were.
"""

import asyncio
from random import Random
from typing import Protocol

import msgspec

from simulations.world.trace import Trace

_JITTER_MEANS_MAX = 20.0
"""The largest jitter, in means: the exponential distribution has no upper bound of its own."""

_PACKET_BYTES = 1_460
"""The payload of one TCP packet over Ethernet."""

_RESEND_S_MIN = 0.05
_RESENDS_MAX = 6
"""How often a segment is lost at most, so that no delay is without bound."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a wire.

    `jitter_s`: the mean of the additional latency, which is distributed exponentially. `loss`: the share of segments of
    one packet that are lost and resent. `bytes_per_second`: the bandwidth, None: unlimited. `segment_bytes`: the
    largest size of a segment.
    """

    latency_s: float = 0.01
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_per_second: float | None = None
    segment_bytes: int = 65_536


class WaitingPipe(Protocol):
    """A pipe that waits at a wire that is cut, with its segments or with its acknowledgements."""

    def deliver_soon(self, delay_s: float = 0.0) -> None:
        """The wire is whole again: after this delay, hand over the segments that have arrived."""

    def on_healed_back(self) -> None:
        """The wire is whole again: send the acknowledgements."""


class Wire:
    """The one-way connection from one host to another.

    `pipes`: those whose segments go through this wire. `acknowledging`: those whose acknowledgements go through it.
    `is_refusing`: new connections are refused, and existing ones go on. `carried_bytes`: all bytes that it delivered.
    """

    def __init__(
        self, name: str, weather: Weather, random: Random, loop: asyncio.AbstractEventLoop, trace: Trace
    ) -> None:
        """`name`: source and target. `random`: draws jitter and loss. `trace`: gets every delivery."""
        self.name = name
        self.weather = weather
        self.loop = loop
        self.trace = trace
        self.cuts = 0
        self.is_refusing = False
        self.carried_bytes = 0
        self.pipes: dict[WaitingPipe, None] = {}
        self.acknowledging: dict[WaitingPipe, None] = {}
        self._random = random

    def delay_s(self, size_bytes: int) -> float:
        """Draw how long the next segment takes, in seconds. A segment of 0 bytes is a packet of TCP's own."""
        weather, random = self.weather, self._random
        jitter_s = min(random.expovariate(1.0), _JITTER_MEANS_MAX) * weather.jitter_s
        delay_s = weather.latency_s + jitter_s
        loss = weather.loss * min(1.0, size_bytes / _PACKET_BYTES)
        resend_s = max(_RESEND_S_MIN, 3 * weather.latency_s)
        for _ in range(_RESENDS_MAX):
            if not loss or random.random() >= loss:
                break
            delay_s += resend_s
            resend_s *= 2  # RFC 6298, section 5.5
        return delay_s

    def sending_s(self, size_bytes: int) -> float:
        """How long the bandwidth is busy with this many bytes, in seconds."""
        rate = self.weather.bytes_per_second
        return 0.0 if rate is None else size_bytes / rate

    @property
    def is_cut(self) -> bool:
        return self.cuts > 0

    def cut(self) -> None:
        """Let nothing through. If two faults cut one wire, the wire is whole when both are over."""
        self.cuts += 1

    def heal(self) -> None:
        """Undo one cut."""
        self.cuts = max(0, self.cuts - 1)
        if not self.is_cut:
            self.wake()

    def wake(self) -> None:
        """Let every pipe that waited resend, each after a delay of its own."""
        for pipe in list(self.pipes):
            pipe.deliver_soon(self.delay_s(0) + self._random.uniform(0, _RESEND_S_MIN))
        for pipe in list(self.acknowledging):
            pipe.on_healed_back()
