"""Write policy: whose records this node's operator takes from clients. A local choice, like admission.

A policy says nothing about validity, never spreads, and applies only to clients. A listed peer may bring every valid
record, because the sets of all nodes have to become equal. So a record that one node refuses can still reach it: a
client writes it to another node, and a peer brings it.

The rules of a domain are those for all domains, changed by those of the domain itself. Bans of both apply. Every other
rule in the domain's own table replaces the rule for all domains.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.admission import Allowance
from protocol.records.record import Record
from protocol.records.replay import State


class WriteRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator demands of the records that clients bring to one domain. The default takes everything.

    `founders` and `writers` are the only keys that may found labels, or write at all; None: every key may.
    `banned_keys` may not write. No record is taken whose label begins with one of `banned_labels`.
    `labels_per_founder_max`: labels of the domain that one key may found. `record_bytes_max`: canonical bytes of a
    record. A refused client is told `message`; None: it is told which rule refuses the record.

    `domain_records_max` and `domain_bytes_max` are how much the node keeps of the domain; UNSET: as its settings say.
    """

    founders: frozenset[str] | None = None
    writers: frozenset[str] | None = None
    banned_keys: frozenset[str] = frozenset()
    banned_labels: tuple[str, ...] = ()
    labels_per_founder_max: int | None = None
    record_bytes_max: int | None = None
    message: str | None = None
    domain_records_max: int | msgspec.UnsetType | None = msgspec.UNSET
    domain_bytes_max: int | msgspec.UnsetType | None = msgspec.UNSET

    def allowance(self, default: Allowance) -> Allowance:
        """How much the node keeps of the domain. `default`: as its settings say for all domains."""
        records, size = self.domain_records_max, self.domain_bytes_max
        return Allowance(
            default.records_max if records is msgspec.UNSET else records,
            default.bytes_max if size is msgspec.UNSET else size,
        )

    def within(self, own: Mapping[str, Any]) -> "WriteRules":
        """The rules of a domain whose own table has these values."""
        keys = self.banned_keys | own.get("banned_keys", frozenset())
        labels = self.banned_labels + own.get("banned_labels", ())
        return msgspec.structs.replace(self, **{**own, "banned_keys": keys, "banned_labels": labels})


class WritePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules for all domains, and the whole rules of each domain that has a table of its own."""

    for_all: WriteRules = WriteRules()
    domains: dict[str, WriteRules] = msgspec.field(default_factory=dict)

    def rules_of(self, domain: str) -> WriteRules:
        return self.domains.get(domain, self.for_all)

    @property
    def is_open(self) -> bool:
        """Whether it takes everything."""
        return self == OPEN

    @property
    def limits_founders(self) -> bool:
        """Whether it limits anywhere how many labels a key may found."""
        return any(rules.labels_per_founder_max is not None for rules in (self.for_all, *self.domains.values()))


OPEN: Final = WritePolicy()
"""The policy that takes everything."""


def is_founding(record: Record, state: State) -> bool:
    """Whether the record would found its label. `state` is that of the label."""
    return state.tip is None and record.prev is None


def check_rules(record: Record, rules: WriteRules, *, founds: bool) -> None:
    """Check that these rules take the record, apart from the number of labels that its signer founded.

    `founds`: the record would found its label. Each refusal names the rule in the fact `rule`.

    Raises:
        ProtocolError: `not_welcome`.
    """
    if record.signedby in rules.banned_keys:
        raise _refusal(rules, "banned_keys", f"this node takes no records of the key {record.signedby}")
    if rules.writers is not None and record.signedby not in rules.writers:
        detail = f"this node takes records of {record.domain} only from keys on a list, and {record.signedby} is not"
        raise _refusal(rules, "writers", detail + " on it")
    if record.label.startswith(rules.banned_labels):
        raise _refusal(rules, "banned_labels", f"this node takes no records of labels like {record.label!r}")
    if rules.record_bytes_max is not None and len(record.canonical) > rules.record_bytes_max:
        detail = f"{len(record.canonical)} bytes: this node takes at most {rules.record_bytes_max} of a client"
        raise _refusal(rules, "record_bytes_max", detail)
    if founds and rules.founders is not None and record.signedby not in rules.founders:
        detail = f"only keys on a list may found labels of {record.domain} here, and {record.signedby} is not on it"
        raise _refusal(rules, "founders", detail)


def check_founded(record: Record, rules: WriteRules, founded: int) -> None:
    """Check that the signer may found one more label of this domain. `founded`: how many it has founded.

    Raises:
        ProtocolError: `not_welcome`.
    """
    if rules.labels_per_founder_max is not None and founded >= rules.labels_per_founder_max:
        detail = (
            f"{record.signedby} has founded {founded} labels of {record.domain}: here one key may found at most "
            f"{rules.labels_per_founder_max}"
        )
        raise _refusal(rules, "labels_per_founder_max", detail)


def _refusal(rules: WriteRules, rule: str, detail: str) -> ProtocolError:
    return ProtocolError(Code.NOT_WELCOME, rules.message or detail, rule=rule)
