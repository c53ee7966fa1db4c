"""Welcome: the operator's rules for clients, applied to one record after another by whoever decides on them.

The rules apply to clients only. What peers bring is taken, because the sets of all nodes have to become equal. Receipts
and policies of witnesses are taken from anybody, and so are the records that a receipt names, because the votes of a
domain would be lost otherwise.
"""

from collections.abc import Iterable

from node.intake.arrivals import Origin
from node.intake.commits import Commits
from node.intake.founders import Founders
from node.settings.settings import Settings
from node.store.contract import Batch, Store
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import EMPTY, State, Verdict
from protocol.records.write_policy import WritePolicy, WriteRules, check_founded, check_rules, is_founding
from protocol.witness.domain import WitnessedDomain


class Welcome:
    """The rules of one node, and whether the operator's program took what it was asked about.

    `has_to_read`: `load` has to be called, because the rules limit how many labels a key may found.
    """

    def __init__(self, policy: WritePolicy, founders: Founders | None = None, *, has_plugin: bool = False) -> None:
        """`founders`: None: no rule limits how many labels a key may found. `has_plugin`: a program is asked too."""
        self._policy = policy
        self._has_plugin = has_plugin
        self._is_open = policy.is_open
        self._founders = founders
        self.has_to_read = founders is not None

    @classmethod
    def of(cls, settings: Settings, store: Store, commits: Commits) -> "Welcome":
        founders = Founders(store, commits) if settings.write.limits_founders else None
        return cls(settings.write, founders, has_plugin=settings.write_plugin is not None)

    async def load(self, arrivals: Iterable[tuple[Record, Origin]]) -> None:
        """Read what `check` needs to know of these. Nobody may decide until this returns.

        Raises:
            ProtocolError: `overloaded` while commits are stalled.
        """
        if self._founders is not None:
            asked = [record for record, origin in arrivals if is_asked_about(record, origin)]
            limited = [it for it in asked if self._policy.rules_of(it.domain).labels_per_founder_max is not None]
            await self._founders.load(map(_founder_of, limited))

    def check(self, record: Record, origin: Origin, state: State) -> None:
        """Check that the operator takes this record. `state` is that of its label.

        Raises:
            ProtocolError: `not_welcome`; `overloaded` if the program was told another verdict.
        """
        if not self._is_open:
            self.check_rules(record, origin, state)
        if self._has_plugin and is_asked_about(record, origin):
            _check_told(origin, verdict_for_client(record, state))

    def check_witnessed(self, record: Record, origin: Origin, domain: WitnessedDomain) -> None:
        """The same for a record of a witnessed domain.

        Raises:
            ProtocolError: `not_welcome`.
        """
        if not self._is_open:
            self.check_rules_of_witnessed(record, origin, domain)
        if self._has_plugin and is_asked_about(record, origin) and not domain.is_named(record.id):
            _check_told(origin, Verdict.PENDING)

    def check_rules(self, record: Record, origin: Origin, state: State) -> None:
        """Check that the rules take this record. `state` is that of its label.

        Raises:
            ProtocolError: `not_welcome`.
        """
        if not self._is_open and is_asked_about(record, origin):
            self._check_rules(record, founds=is_founding(record, state))

    def check_rules_of_witnessed(self, record: Record, origin: Origin, domain: WitnessedDomain) -> None:
        """The same for a record of a witnessed domain, where a founding is what names no `prev`.

        Raises:
            ProtocolError: `not_welcome`.
        """
        if not self._is_open and is_asked_about(record, origin) and not domain.is_named(record.id):
            self._check_rules(record, founds=is_founding(record, EMPTY))

    def on_founded(self, record: Record) -> None:
        """This record founded its label, or was taken as a founding of a witnessed domain."""
        if self._founders is not None:
            self._founders.on_founded(_founder_of(record))

    def on_decided(self, batch: Batch) -> None:
        """A group was decided."""
        if self._founders is not None:
            self._founders.on_decided(batch)

    def _check_rules(self, record: Record, *, founds: bool) -> None:
        rules = self._policy.rules_of(record.domain)
        check_rules(record, rules, founds=founds)
        if founds and self._founders is not None and rules.labels_per_founder_max is not None:
            _check_count(record, rules, self._founders.count(_founder_of(record)))


def is_asked_about(record: Record, origin: Origin) -> bool:
    """Whether the operator has a say about this record."""
    if origin.trust is not Trust.CLIENT:
        return False
    return not (record.is_of_witnesses and is_witnessed(record.domain))


def verdict_for_client(record: Record, state: State) -> Verdict:
    """What a client's record would get: a record that is not newer than the head is never accepted."""
    tip = state.tip
    if tip is not None and tip.names(record.signedby) and record.order_key <= tip.order_key:
        return Verdict.STALE
    return state.judge(record)


def _founder_of(record: Record) -> tuple[str, str]:
    return (record.domain, record.signedby)


def _check_count(record: Record, rules: WriteRules, founded: int | None) -> None:
    """Raises: ProtocolError: `not_welcome`; `overloaded` if the number was forgotten while the record waited."""
    if founded is None:
        detail = "how many labels this key founded has to be counted again: send the record again"
        raise ProtocolError(Code.OVERLOADED, detail, retry_after=1)
    check_founded(record, rules, founded)


def _check_told(origin: Origin, verdict: Verdict) -> None:
    """Check that the program took the record knowing what becomes of it.

    Raises:
        ProtocolError: `overloaded` if the label changed meanwhile.
    """
    assert origin.told is not None, "the operator's program is asked before anybody decides"
    if verdict.is_accepted and verdict is not origin.told:
        detail = "the label changed while the operator's program was asked about the record: send it again"
        raise ProtocolError(Code.OVERLOADED, detail, retry_after=1)
