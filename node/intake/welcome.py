"""Welcome: the operator's rules for clients, applied to one record after another by whoever decides on them.

Only clients are asked about. What peers bring is taken, because the sets of all nodes have to become equal. Receipts
and policies of witnesses are taken from anybody, and so are the records that a receipt names, because the votes of a
domain would be lost otherwise.
"""

from collections.abc import Iterable

from node.intake.arrivals import Origin
from node.intake.commits import Commits
from node.intake.founders import Founders
from node.store.contract import Batch, Store
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import EMPTY, State
from protocol.records.write_policy import WritePolicy, WriteRules, check_founded, check_rules, is_founding
from protocol.witness.domain import WitnessedDomain


class Welcome:
    """The rules of one node. `founders`: None: no rule limits how many labels a key may found."""

    def __init__(self, policy: WritePolicy, founders: Founders | None = None) -> None:
        self._policy = policy
        self._is_open = policy.is_open
        self._founders = founders

    @classmethod
    def of(cls, policy: WritePolicy, store: Store, commits: Commits) -> "Welcome":
        return cls(policy, Founders(store, commits) if policy.limits_founders else None)

    async def load(self, arrivals: Iterable[tuple[Record, Origin]]) -> None:
        """Read what `check` needs to know of these. Nobody may decide until this returns.

        Raises:
            ProtocolError: `overloaded` while commits are stalled.
        """
        if self._founders is not None:
            asked = [record for record, origin in arrivals if is_asked_about(record, origin)]
            await self._founders.load(_founder_of(it) for it in asked if self._is_limited(it))

    def check(self, record: Record, origin: Origin, state: State) -> None:
        """That the operator takes this record. `state` is that of its label.

        Raises:
            ProtocolError: `not_welcome`.
        """
        if self._is_open or not is_asked_about(record, origin):
            return
        rules, founds = self._policy.rules_of(record.domain), is_founding(record, state)
        check_rules(record, rules, founds=founds)
        if founds and self._founders is not None and self._is_limited(record):
            _check_count(record, rules, self._founders.count(_founder_of(record)))

    def check_witnessed(self, record: Record, origin: Origin, domain: WitnessedDomain) -> None:
        """The same for a record of a witnessed domain, where a founding is what names no `prev`.

        Raises:
            ProtocolError: `not_welcome`.
        """
        if self._is_open or not is_asked_about(record, origin) or domain.is_named(record.id):
            return
        rules, founds = self._policy.rules_of(record.domain), is_founding(record, EMPTY)
        check_rules(record, rules, founds=founds)
        if founds and self._founders is not None and rules.labels_per_founder_max is not None:
            _check_count(record, rules, self._founders.count_witnessed(_founder_of(record), domain))

    def on_founded(self, record: Record) -> None:
        """This record founded its label, or was taken as a founding of a witnessed domain."""
        if self._founders is not None:
            self._founders.on_founded(_founder_of(record))

    def on_decided(self, batch: Batch) -> None:
        """A group was decided."""
        if self._founders is not None:
            self._founders.on_decided(batch)

    def _is_limited(self, record: Record) -> bool:
        """Whether the store has to say how many labels the signer founded."""
        rules = self._policy.rules_of(record.domain)
        return rules.labels_per_founder_max is not None and not is_witnessed(record.domain)


def is_asked_about(record: Record, origin: Origin) -> bool:
    """Whether the operator has a say about this record."""
    if origin.trust is not Trust.CLIENT:
        return False
    return not (record.is_of_witnesses and is_witnessed(record.domain))


def _founder_of(record: Record) -> tuple[str, str]:
    return (record.domain, record.signedby)


def _check_count(record: Record, rules: WriteRules, founded: int | None) -> None:
    """Raises: ProtocolError: `not_welcome`; `overloaded` if the number was forgotten while the record waited."""
    if founded is None:
        detail = "how many labels this key founded has to be counted again: send the record again"
        raise ProtocolError(Code.OVERLOADED, detail, retry_after=1)
    check_founded(record, rules, founded)
