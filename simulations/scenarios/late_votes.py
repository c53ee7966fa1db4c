"""A liar that shows its votes only to the witness that is the last to leave a round.

Of three honest witnesses two vote for one record, so a quorum needs the liar's vote as well. The liar shows it to the
witness that is alone in the round. That one now holds the highest quorum, and votes for its record in the next round.
The others have voted there already, for the other record. So the honest votes are split again, and so on: without
speakers the race never ends. The speaker of a round unites the honest witnesses, as soon as it is honest.

To begin with, the votes of round 0 must differ from the forecast. The liar backdates an entry for the record that fewer
witnesses saw first.
"""

import asyncio
from typing import Any, Final

import msgspec

from protocol.witness.voter import OpenSlot
from simulations.cast.liar import forge
from simulations.cast.machine import Machine
from simulations.cast.user import User
from simulations.cluster import Cluster
from simulations.scenarios.registry import FAIR, Scenario
from simulations.scenarios.witnesses import convene, council_of, finals, sign_claim

LOOK_EVERY_S: Final = 0.002
FAR: Final = msgspec.structs.replace(FAIR, latency_s=0.4)
"""The way to the witness that hears of everything last."""

NEAR: Final = msgspec.structs.replace(FAIR, latency_s=0.001, jitter_s=0.0)
"""The liar's way to every witness: it is faster than the witnesses among themselves."""

OVER_S: Final = 60.0
"""Seconds within which the race is over."""


class LateVoter:
    """The witness d. `shown`: the rounds in which it showed a vote."""

    def __init__(self, cluster: Cluster, machines: list[Machine]) -> None:
        self._machines = machines
        self._council = council_of(cluster)
        self._user: User = cluster.user("d", self._council.keys["d"])
        for machine in machines:
            for ends in ((self._user.host, machine.host), (machine.host, self._user.host)):
                cluster.simulation.network.wire(*ends).weather = NEAR
        self._newest: dict[str, str] = {}
        self._at_ms = 0
        self.shown: list[int] = []

    async def lie(self) -> None:
        """Lie until cancelled."""
        await self._backdate()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            rounds = [slot.round for machine in self._machines if (slot := _open_slot(machine)) is not None]
            is_known = len(rounds) == len(self._machines)
            if is_known and rounds.count(least := min(rounds)) == 1 and least not in self.shown:
                self.shown.append(least)
                await self._vote(self._machines[rounds.index(least)], least)

    async def _backdate(self) -> None:
        """Wait until all have voted in round 0, and claim to have seen the record with fewer votes long before."""
        machine = self._machines[0]
        while sum((votes := self._votes(machine, 0)).values()) < len(self._machines):  # noqa: ASYNC110 - as a stranger looks
            await asyncio.sleep(LOOK_EVERY_S)
        await self._say(machine, seen={min(votes, key=lambda each: votes[each]): 1})

    async def _vote(self, machine: Machine, number: int) -> None:
        """Show this machine, and no other, a vote for the record that most honest witnesses voted for in its round."""
        votes = self._votes(machine, number)
        choice = max(votes, key=lambda each: (votes[each], each))
        said = {"vote": {str(number): [choice]}} if number else {"first": {choice: self._now_ms()}}
        await self._say(machine, **said)

    def _votes(self, machine: Machine, number: int) -> dict[str, int]:
        """How many votes of this round the machine holds for each candidate."""
        domain, slot = machine.running.witnessed.get(self._council.domain), _open_slot(machine)
        if domain is None or slot is None:
            return {}
        return {each: len(domain.evidence(each).votes.get(number, ())) for each in slot.candidates}

    async def _say(self, machine: Machine, **said: Any) -> None:
        at_ms = self._at_ms = max(self._at_ms + 1, self._now_ms())
        receipt = forge(self._user.key, self._council.domain, at_ms, **said, **self._newest)
        self._newest = {"prev": receipt.record.id}
        await self._user.put(machine, receipt)

    def _now_ms(self) -> int:
        return int(self._user.clock.now_s() * 1_000)


def _open_slot(machine: Machine) -> OpenSlot | None:
    assert machine.node is not None, "no machine is down in this story"
    return next((slot for own in machine.node.witnessing for slot in own.open_slots()), None)


async def _late_votes(cluster: Cluster) -> None:
    a, b, c = await convene(cluster, 1, "a", "b", "c", liars=["d"])
    await cluster.settle()
    for other in (a, b):
        cluster.wire(other, c).weather = FAR
    liar = LateVoter(cluster, [a, b, c])
    lying = asyncio.create_task(liar.lie())
    alice, bob = cluster.user("alice"), cluster.user("bob")
    await asyncio.gather(alice.put(a, sign_claim(cluster, alice)), bob.put(b, sign_claim(cluster, bob)))

    words = "one of two rivals is final everywhere"
    took_s = await cluster.wait_until(lambda: len(set(finals(cluster))) == 1 and None not in finals(cluster), words)

    lying.cancel()
    cluster.expect(bool(liar.shown), f"the liar showed its votes of the rounds {liar.shown}")
    cluster.expect(took_s < OVER_S, f"and the race ended after {took_s:.1f} s all the same")


SCENARIOS = (
    Scenario(
        "late-shown-votes",
        "A liar shows its vote only to the last witness to leave a round: the speakers end the race.",
        _late_votes,
    ),
)
