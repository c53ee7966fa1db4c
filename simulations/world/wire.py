"""A wire: the way from one host to another, with its weather, and chance of its own.

Each direction of each pair of hosts draws from a stream of its own, named by the two, so that what happens on one wire
changes nothing on another: a fault that is taken away leaves all others as they were.
"""

import asyncio
from random import Random
from typing import Protocol

import msgspec

from simulations.world.trace import Trace

_JITTER_MEANS_MAX = 20.0
_PACKET_BYTES = 1_460
_RESEND_S_MIN = 0.05
_RESENDS_MAX = 6


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What a wire is like. `jitter_s` is the mean of an exponential distribution on top of `latency_s`; `loss` is the
    share of segments of an ordinary packet's size that are lost, and sent again after a while; `bytes_per_second` None:
    no limit; no segment is larger than `segment_bytes`.
    """

    latency_s: float = 0.01
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_per_second: float | None = None
    segment_bytes: int = 65_536


class Waiting(Protocol):
    """What waits at a wire that is cut: a pipe through it, or one whose acknowledgements come back through it."""

    def deliver_soon(self, delay_s: float = 0.0) -> None:
        """The wire is whole again: hand over what has arrived, after this delay."""

    def on_healed_back(self) -> None:
        """The wire is whole again: acknowledgements find their way."""


class Wire:
    """From one host to another. `pipes` go through it, acknowledgements of `returns` come back through it."""

    def __init__(
        self, name: str, weather: Weather, random: Random, loop: asyncio.AbstractEventLoop, trace: Trace
    ) -> None:
        self.name = name
        self.weather = weather
        self.loop = loop
        self.trace = trace
        self.cuts = 0
        self.is_refusing = False
        """New connections are refused; those that are there live on."""
        self.carried_bytes = 0
        self.pipes: dict[Waiting, None] = {}
        self.returns: dict[Waiting, None] = {}
        self._random = random

    def delay_s(self, size_bytes: int) -> float:
        """How long the next segment takes; 0 bytes: a packet of TCP's own."""
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
        """How long the wire is busy with so many bytes."""
        rate = self.weather.bytes_per_second
        return 0.0 if rate is None else size_bytes / rate

    @property
    def is_cut(self) -> bool:
        return self.cuts > 0

    def cut(self) -> None:
        """Let nothing through. Two faults may cut one wire: it is whole when both are over."""
        self.cuts += 1

    def heal(self) -> None:
        """Take one cut away."""
        self.cuts = max(0, self.cuts - 1)
        if not self.is_cut:
            self.wake()

    def wake(self) -> None:
        """What waited is sent again, each pipe after a while of its own."""
        for pipe in list(self.pipes):
            pipe.deliver_soon(self.delay_s(0) + self._random.uniform(0, _RESEND_S_MIN))
        for pipe in list(self.returns):
            pipe.on_healed_back()
