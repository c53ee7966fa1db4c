"""Asking: before records of clients are decided on, the operator's program says which of them it takes.

The program is told what replay would say of each record, as if the records before it in the group were taken. So the
group first gets its turn at all of its labels, then foresees the verdicts, and then asks about all records in one go.
Nothing is locked meanwhile: other groups are decided, and one of them may change a label by the record of a peer. If a
record would then get another accepted verdict than the program was told, the client has to send it again
(`Welcome.check`).

A batch may have 1,000 records, so others get a turn after some work.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from node.fairness.turns import Piece, Turns
from node.intake.arrivals import Origin
from node.intake.decider import Decider
from node.intake.group import Group
from node.intake.label_turns import LabelTurns
from node.intake.welcome import is_asked_about, verdict_for_client
from node.store.contract import LabelKey
from node.write_plugin.conversation import PLUGIN_RULE, Answer, Question
from node.write_plugin.plugin import WritePlugin
from protocol.errors import Code, ProtocolError
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import State, Verdict
from protocol.witness.domain import WitnessedDomain

REJECTED: Final = "the operator of this node does not take this record"

FORESEEN_AT_ONCE: Final = 100
"""Records whose verdicts are foreseen at once, in about 3 ms. Nobody decides meanwhile."""


class Asking:
    """Asks about groups."""

    def __init__(self, plugin: WritePlugin, decider: Decider, deciding: asyncio.Lock, turns: Turns) -> None:
        """`deciding` is held by whoever decides on a group. `turns` are shared by all long work of the node."""
        self._plugin = plugin
        self._decider = decider
        self._deciding = deciding
        self._turns = LabelTurns()
        self._long_work = turns

    async def ask(self, group: Group) -> None:
        """Ask about the records of the group, and refuse those that the program does not take.

        `leave` has to follow, whatever happens.
        """
        positions = asked_positions(group)
        if not positions:
            return
        turn = self._turns.enter(_key_of(group.records[at].record) for at in positions)
        group.turns.append(turn)
        try:
            async with asyncio.timeout(self._plugin.timeout_s):
                await turn.ready
        except TimeoutError:
            detail = "records of this label have waited for the operator's program too long: send it again later"
            for position in positions:
                group.refuse(position, ProtocolError(Code.OVERLOADED, detail, retry_after=1))
            return
        work = self._long_work.begin(group.origins[positions[0]].address)
        questions = await self._foresee(group, positions, work)
        futures, errors = await self._put(group, questions, work)
        work.end()
        if questions:
            _settle(group, questions, errors | await _answers_of(futures))

    def leave(self, group: Group) -> None:
        """The group is decided, or will not be: others may ask about its labels."""
        turns, group.turns = group.turns, []
        for turn in turns:
            self._turns.leave(turn)

    async def _foresee(self, group: Group, positions: Sequence[int], work: Piece) -> dict[int, Question]:
        """What to ask about each record that is new and that the rules take. The rules refuse the others."""
        questions: dict[int, Question] = {}
        states: dict[LabelKey, State] = {}
        in_order = sorted(positions, key=lambda at: group.records[at].record.order_key)
        for begin in range(0, len(in_order), FORESEEN_AT_ONCE):
            if begin:
                await work.rest()
            async with self._deciding:
                await self._foresee_some(group, in_order[begin : begin + FORESEEN_AT_ONCE], states, questions)
        return questions

    async def _foresee_some(
        self,
        group: Group,
        positions: Sequence[int],
        states: dict[LabelKey, State],
        questions: dict[int, Question],
    ) -> None:
        """Add the questions about these records, which come in order."""
        arrivals = {at: (group.records[at].record, group.origins[at]) for at in positions}
        fresh = {at: each for at, each in arrivals.items() if not self._decider.is_held(each[0])}
        ordinary = [each for each in fresh.values() if not is_witnessed(each[0].domain)]
        await self._decider.labels.load(_key_of(record) for record, _ in ordinary)
        await self._decider.welcome.load(fresh.values())
        await self._decider.bring_witnessed(record for record, _ in fresh.values())
        for at, (record, origin) in fresh.items():
            try:
                verdict = self._foresee_one(record, origin, states)
            except ProtocolError as error:
                group.refuse(at, error)
                continue
            if verdict is not None:
                questions[at] = Question(record, origin.trust, origin.address, verdict)

    def _foresee_one(self, record: Record, origin: Origin, states: dict[LabelKey, State]) -> Verdict | None:
        """The verdict that the record would get; None: nobody is asked about it. `states` runs ahead by the group.

        Raises:
            ProtocolError: `not_welcome` by the rules; `overloaded`.
        """
        if is_witnessed(record.domain):
            domain = self._decider.witnessed.get(record.domain) or WitnessedDomain(record.domain)
            self._decider.welcome.check_rules_of_witnessed(record, origin, domain)
            return None if domain.is_named(record.id) else Verdict.PENDING
        key = _key_of(record)
        state = states.get(key) or self._decider.labels.state(key)
        self._decider.welcome.check_rules(record, origin, state)
        verdict = verdict_for_client(record, state)
        if verdict.is_accepted and state.is_extended_by(record):
            states[key], _ = state.extend(record)
        return verdict

    async def _put(
        self, group: Group, questions: dict[int, Question], work: Piece
    ) -> tuple[dict[str, asyncio.Future[Answer]], dict[str, Answer | ProtocolError]]:
        """Put the questions to the program. Returns the answers to come by record id, and the errors that came in their
        place.
        """
        futures: dict[str, asyncio.Future[Answer]] = {}
        errors: dict[str, Answer | ProtocolError] = {}
        try:
            for question in questions.values():
                if work.is_long:
                    await work.rest()
                record_id = question.record.id
                if record_id in futures or record_id in errors:  # twice in one batch
                    continue
                try:
                    source = (question.address, group.delivery.link, len(group) > 1)
                    futures[record_id] = self._plugin.ask(question, source)
                except ProtocolError as error:
                    errors[record_id] = error
        except asyncio.CancelledError:
            for future in futures.values():  # nobody waits for them any more
                future.cancel()
            raise
        return futures, errors


async def _answers_of(futures: dict[str, asyncio.Future[Answer]]) -> dict[str, Answer | ProtocolError]:
    """The answers by record id, or the errors that came in their place."""
    answers: dict[str, Answer | ProtocolError] = {}
    for record_id, answer in zip(futures, await asyncio.gather(*futures.values(), return_exceptions=True), strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, ProtocolError):
            raise answer
        answers[record_id] = answer
    return answers


def asked_positions(group: Group) -> list[int]:
    """The positions about which the operator has a say."""
    return [at for at, signed in group.records.items() if is_asked_about(signed.record, group.origins[at])]


def _settle(group: Group, questions: dict[int, Question], answers: dict[str, Answer | ProtocolError]) -> None:
    for position, question in questions.items():
        answer = answers[question.record.id]
        if isinstance(answer, ProtocolError):
            group.refuse(position, answer)
        elif not answer.is_accepted:
            group.refuse(position, ProtocolError(Code.NOT_WELCOME, answer.message or REJECTED, rule=PLUGIN_RULE))
        else:
            group.origins[position] = msgspec.structs.replace(group.origins[position], told=question.verdict)


def _key_of(record: Record) -> LabelKey:
    return (record.domain, record.label)
