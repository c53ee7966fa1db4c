"""Where to draw the nodes of a network: springs and repulsion (Fruchterman and Reingold, 1991), beginning with a
circle.

There are no random numbers in it, so every report draws the same network in the same way.
"""

import math
from collections.abc import Sequence
from typing import Final

NodePosition = tuple[float, float]

_STEPS_MAX: Final = 250
_STEPS_MIN: Final = 12
_PAIRS_MAX: Final = 3_000_000
"""Pairs of nodes that all steps together compute: about two seconds."""


def node_positions(count: int, edges: Sequence[tuple[int, int]]) -> list[NodePosition]:
    """A position for each of `count` nodes, in an arbitrary unit. The network's longest axis is horizontal."""
    turn = 2 * math.pi / max(count, 1)
    points = [complex(math.cos(number * turn), math.sin(number * turn)) for number in range(count)]
    ideal = math.sqrt(4 / max(count, 1))
    steps = max(_STEPS_MIN, min(_STEPS_MAX, _PAIRS_MAX // max(1, count * count)))
    for step in range(steps):
        forces = _forces(points, edges, ideal)
        warmth = 0.3 * (1 - step / steps)
        points = [
            at + force / abs(force) * min(abs(force), warmth) if force else at
            for at, force in zip(points, forces, strict=True)
        ]
    return _flat(points)


def _forces(points: Sequence[complex], edges: Sequence[tuple[int, int]], ideal: float) -> list[complex]:
    forces = [0j] * len(points)
    for one, here in enumerate(points):
        for other in range(one):
            apart = here - points[other]
            push = apart * (ideal * ideal / max(apart.real * apart.real + apart.imag * apart.imag, 1e-6))
            forces[one] += push
            forces[other] -= push
    for one, other in edges:
        apart = points[one] - points[other]
        pull = apart * (abs(apart) / ideal)
        forces[one] -= pull
        forces[other] += pull
    return forces


def _flat(points: Sequence[complex]) -> list[NodePosition]:
    """Rotate the points so that their longest axis is horizontal, around the origin."""
    if not points:
        return []
    middle = sum(points) / len(points)
    around = [at - middle for at in points]
    spread = sum(at * at for at in around)
    turn = complex(math.cos(_half_angle(spread)), -math.sin(_half_angle(spread)))
    return [((at * turn).real, (at * turn).imag) for at in around]


def _half_angle(spread: complex) -> float:
    """The direction of the longest axis: half the angle of the sum of squares."""
    return math.atan2(spread.imag, spread.real) / 2 if abs(spread) > 1e-9 else 0.0
