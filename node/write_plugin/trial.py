"""A trial: plays records through the rules and the program of an operator, and counts what these would have done.

Every record is treated as if a client brought it, in the order of the records. A record that the policy refuses is not
taken, so the label goes on without it, as it would have. Nothing is stored.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from node.settings.settings import Settings
from node.world import World
from node.write_plugin.conversation import PLUGIN_RULE, Question
from node.write_plugin.plugin import SENT_MAX, WritePlugin
from protocol.errors import ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import EMPTY, State, Verdict
from protocol.records.write_policy import check_founded, check_rules, is_founding

EXAMPLES_MAX: Final = 20
MESSAGES_MAX: Final = 50
"""Different messages of the program that are counted apart. A program may write the label into each."""

_NO_RESTART_S: Final = 86_400.0

_OTHER: Final = "(other messages)"


class Refusal(msgspec.Struct, frozen=True):
    """A record that would have been refused, by a rule, or by the program and its message."""

    id: str
    domain: str
    label: str
    signedby: str
    rule: str
    message: str | None


class Trial(msgspec.Struct):
    """What the policy would have done. `not_asked`: records of witnesses, which are always taken.

    `reasons` counts refusals by rule and, for the program, by message. `examples` are the first refusals. `fault` says
    how the program failed; then the trial has ended before the last record.
    """

    accepted: int = 0
    not_asked: int = 0
    reasons: Counter[tuple[str, str | None]] = msgspec.field(default_factory=Counter)
    examples: list[Refusal] = msgspec.field(default_factory=list)
    fault: str | None = None

    @property
    def refused(self) -> int:
        return self.reasons.total()

    def refuse(self, record: Record, rule: str, message: str | None) -> None:
        if (rule, message) not in self.reasons and len(self.reasons) >= MESSAGES_MAX:
            message = _OTHER
        self.reasons[rule, message] += 1
        if len(self.examples) < EXAMPLES_MAX:
            refusal = Refusal(record.id, record.domain, record.label, record.signedby, rule, message)
            self.examples.append(refusal)


async def play(records: Iterable[Record], settings: Settings, trial: Trial) -> AsyncIterator[int]:
    """Play these records, oldest first, and count in `trial`. Yields how many were played since the last time.

    Raises:
        OSError: the program cannot be started.
    """
    async with _program(settings) as plugin:
        labels = _Labels(settings)
        for run in _runs(records):
            await _play_run(run, labels, plugin, trial)
            if trial.fault is not None:
                return
            yield len(run)


async def _play_run(run: list[Record], labels: "_Labels", plugin: WritePlugin | None, trial: Trial) -> None:
    """Play records of different labels. The program is asked about all of them at once."""
    asked = []
    for record in run:
        if record.is_of_witnesses and is_witnessed(record.domain):
            trial.not_asked += 1
            continue
        try:
            verdict = labels.check(record)
        except ProtocolError as error:
            trial.refuse(record, str(error.facts["rule"]), None)
            continue
        if plugin is None:
            labels.take(record)
            trial.accepted += 1
        else:
            asked.append(Question(record, Trust.CLIENT, None, verdict))
    if plugin is not None:
        await _ask(asked, labels, plugin, trial)


async def _ask(questions: list[Question], labels: "_Labels", plugin: WritePlugin, trial: Trial) -> None:
    """Ask the program, and count what it says."""
    try:
        answers = await asyncio.gather(*[plugin.ask(each, "trial") for each in questions])
    except ProtocolError as error:
        trial.fault = plugin.last_fault or error.detail
        return
    for record, said in zip((each.record for each in questions), answers, strict=True):
        if said.is_accepted:
            labels.take(record)
            trial.accepted += 1
        else:
            trial.refuse(record, PLUGIN_RULE, said.message)


class _Labels:
    """The states of the labels, and how many labels each key has founded, as the policy would have left them."""

    def __init__(self, settings: Settings) -> None:
        self._policy = settings.write
        self._states: dict[tuple[str, str], State] = {}
        self._founded: Counter[tuple[str, str]] = Counter()

    def check(self, record: Record) -> Verdict:
        """The verdict that the record would get. Raises: ProtocolError: `not_welcome` by the rules."""
        rules, state = self._policy.rules_of(record.domain), self._state(record)
        founds = is_founding(record, state)
        check_rules(record, rules, founds=founds)
        if founds:
            check_founded(record, rules, self._founded[record.domain, record.signedby])
        return Verdict.PENDING if is_witnessed(record.domain) else state.judge(record)

    def take(self, record: Record) -> None:
        state = self._state(record)
        if is_founding(record, state):
            self._founded[record.domain, record.signedby] += 1
        if not is_witnessed(record.domain) and state.is_extended_by(record):
            self._states[record.domain, record.label], _ = state.extend(record)

    def _state(self, record: Record) -> State:
        """The state of the label. A label of a witnessed domain stays as if nothing had been decided."""
        return self._states.get((record.domain, record.label), EMPTY)


@asynccontextmanager
async def _program(settings: Settings) -> AsyncIterator[WritePlugin | None]:
    """The program of the settings while the block runs; None if they name no program."""
    if settings.write_plugin is None:
        yield None
        return
    plugin = WritePlugin(settings.write_plugin, settings.write_plugin_timeout, World(), _NO_RESTART_S)
    await plugin.start()
    try:
        yield plugin
    finally:
        await plugin.close()


def _runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in runs in which no label stands twice, each as long as the program may have lines."""
    run: list[Record] = []
    labels: set[tuple[str, str]] = set()
    for record in records:
        key = (record.domain, record.label)
        if key in labels or len(run) == SENT_MAX:
            yield run
            run, labels = [], set()
        run.append(record)
        labels.add(key)
    if run:
        yield run
