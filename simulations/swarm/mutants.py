"""Mutants: faults planted in the program on purpose, to prove that the swarm finds such faults.

A simulator that finds nothing proves nothing. Each mutant replaces a few words of source by others. It is a mistake
that a programmer could make, and the swarm must find it (`simulations.swarm.hunt`; mutation analysis: DeMillo, Lipton
and Sayward, "Hints on Test Data Selection", 1978). Some mechanisms, such as reconciliation, repair the effect of a
fault before any check can see it. For these faults the mechanism is taken out too.
"""

from typing import Final

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """Replaces the old source text by the new one. The file contains the old text exactly once."""

    file: str
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True):
    """One planted fault, in words and as edits. `without`: edits that take out a mechanism which would repair it.
    `is_of_witnesses`: only runs with a witnessed domain can show it.
    """

    name: str
    fault: str
    edits: tuple[Edit, ...]
    without: tuple[Edit, ...] = ()
    is_of_witnesses: bool = False


_LINKS_RECONCILE: Final = Edit(
    "protocol/link/reconciliation.py",
    "        if not self._halves.gives(domain) and not self._halves.takes(domain):\n",
    "        if domain:\n",
)
_RUNS_COMPARE: Final = Edit(
    "node/http_sync/run.py",
    "        for domain in domains:\n            await self._or_note(self._compare, domain, answer)\n",
    "",
)
_RECONCILIATION: Final = (_LINKS_RECONCILE, _RUNS_COMPARE)
"""Takes out the comparison of ids, over links and over plain HTTP."""

_GREETING: Final = Edit("protocol/gossip/plumtree.py", "greeting_ids_max: int = 64", "greeting_ids_max: int = 0")
"""Takes out the announcement of the newest ids to a new link."""

MUTANTS: Final = (
    Mutant(
        "no-prev-check",
        "`prev` is ignored",
        (Edit("protocol/records/replay.py", "if record.prev not in (None, tip.id):", "if record.prev == 0:"),),
    ),
    Mutant(
        "tie-by-arrival",
        "of two records of one second, the one that arrives last comes first",
        (
            Edit(
                "protocol/records/timeline.py",
                "def _order_key(record: Record) -> OrderKey:\n    return record.order_key\n",
                'def _order_key(record: Record) -> OrderKey:\n    return (record.timestamp, "")\n',
            ),
        ),
    ),
    Mutant(
        "label-not-locked",
        "a label is decided on while it is replayed",
        (Edit("node/intake/decider.py", "if key in self.locked or (not are_newest", "if (not are_newest"),),
    ),
    Mutant(
        "append-above-head",
        "a record above the head is appended, although a refused record is above it",
        (
            Edit(
                "protocol/records/replay.py",
                "return (record.timestamp, record.id) > self.newest",
                "return (record.timestamp, record.id) > (self.tip.order_key if self.tip else self.newest)",
            ),
            Edit(
                "protocol/records/change.py",
                "    newest = state.newest\n",
                "    newest = state.tip.order_key if state.tip else state.newest\n",
            ),
        ),
    ),
    Mutant(
        "no-age-limit",
        "a client may write as far into the past as it likes",
        (Edit("protocol/records/admission.py", "record.timestamp < now - window.max_age_s:", "record.timestamp < 0:"),),
    ),
    Mutant(
        "no-skew-limit",
        "anybody may write as far into the future as they like",
        (
            Edit(
                "protocol/records/admission.py", "record.timestamp > now + window.max_skew_s:", "record.timestamp < 0:"
            ),
        ),
    ),
    Mutant(
        "no-owner-check",
        "a client may write a record that does not extend the label",
        (
            Edit("node/intake/ledger.py", "        check_extends(record, self.state)\n", "        pass\n"),
            Edit("node/intake/ledger.py", "        check_extends(record, state)\n", "        pass\n"),
        ),
    ),
    Mutant(
        "unverified",
        "no signature is checked",
        (Edit("node/intake/ingest.py", "            if not is_genuine:\n", "            if is_genuine is None:\n"),),
    ),
    Mutant(
        "strangers-fill-domains",
        "strangers may take the last places for domains",
        (Edit("node/intake/decider.py", "            places = strangers_domains_max(places)\n", "            pass\n"),),
    ),
    Mutant(
        "stranger-prunes-peers",
        "a node prunes a listed peer because a stranger was quicker",
        (
            Edit(
                "protocol/gossip/plumtree.py",
                "tree_link.is_eager and (tree_link.is_listed or not is_listed):",
                "tree_link.is_eager and (tree_link.is_listed or is_listed is not None):",
            ),
        ),
    ),
    Mutant(
        "made-up-domains-kept",
        "a link remembers every domain that its peer ever listed",
        (Edit("protocol/link/session.py", "        self._course.forget_all_but(set(domains))\n", ""),),
    ),
    Mutant(
        "one-piece",
        "a link reads on after two pieces of a long answer",
        (Edit("node/links/running_link.py", "while self.machine.is_working:\n", "if self.machine.is_working:\n"),),
    ),
    Mutant(
        "replay-of-one",
        "a late record gets its verdict, and the records behind it keep theirs",
        (Edit("protocol/records/timeline.py", "if walk.is_as_before:\n", "if walk:\n"),),
    ),
    Mutant(
        "quota-without-leak",
        "the records of an address count against its quota for ever",
        (Edit("protocol/records/quota.py", "self.level - elapsed_s * rate", "self.level"),),
    ),
    Mutant(
        "late-records-uncounted",
        "records that need a replay of their label do not count as kept",
        (Edit("node/intake/ledger.py", "            self._quotas.count(record)\n", "            pass\n"),),
    ),
    Mutant(
        "usage-forgotten",
        "after a start, what was kept since the counts were last written does not count",
        (
            Edit(
                "node/store/sqlite/usage.py",
                "for domain, body in connection.execute(sql)",
                "for domain, body in ()",
            ),
        ),
    ),
    Mutant(
        "quota-of-the-disk",
        "what is decided and not yet on disk does not count against the quota of a key",
        (Edit("node/intake/usage.py", "            amount.add(1, size_bytes)\n", "            pass\n"),),
    ),
    Mutant(
        "peers-not-welcome",
        "the operator's rules apply to records that listed peers bring",
        (
            Edit(
                "node/intake/welcome.py",
                "    if origin.trust is not Trust.CLIENT:\n        return False\n",
                "    if origin.address is None and origin.trust is None:\n        return False\n",
            ),
        ),
    ),
    Mutant(
        "everybody-welcome",
        "the operator's rules refuse only records that would found a label",
        (
            Edit(
                "node/intake/welcome.py",
                "        check_rules(record, rules, founds=founds)\n",
                "        if founds:\n            check_rules(record, rules, founds=founds)\n",
            ),
        ),
    ),
    Mutant(
        "ack-before-commit",
        "an answer does not wait for the disk",
        (Edit("node/intake/ingest.py", "        await committed\n", ""),),
    ),
    Mutant(
        "index-before-commit",
        "a record is in the index before it is on disk",
        (
            Edit(
                "node/intake/commits.py",
                "        last_seq = await self._store_batch(merged)",
                "        self._indexes.add(stored.signed.record for stored in merged.records)\n"
                "        last_seq = await self._store_batch(merged)",
            ),
        ),
    ),
    Mutant(
        "forgotten-uncommitted",
        "a record that is decided and not yet on disk is decided again",
        (Edit("node/intake/decider.py", "record.id in self._commits.uncommitted or ", ""),),
    ),
    Mutant(
        "history-without-uncommitted",
        "a label is replayed without the records that are not yet on disk",
        (Edit("node/intake/late.py", "            await self._commits.drain()\n", "            pass\n"),),
    ),
    Mutant(
        "forgotten-state",
        "the state of a label is forgotten before it is on disk",
        (Edit("node/intake/labels.py", "if any(key in states for states in self._uncommitted):", "if False:"),),
    ),
    Mutant(
        "two-deciders",
        "two groups of records are decided at once",
        (
            Edit(
                "node/intake/ingest.py",
                "        async with self._deciding:\n            decision =",
                "        if self._deciding:\n            decision =",
            ),
        ),
    ),
    Mutant(
        "old-verdicts-kept",
        "verdicts that a late record changes are not written",
        (
            Edit(
                "node/intake/decider.py",
                "if len(ledger.verdicts) > len(taken):",
                "if len(ledger.verdicts) < len(taken):",
            ),
        ),
    ),
    Mutant(
        "index-short",
        "after a restart the last record of each page is not in the index",
        (
            Edit(
                "node/indexes.py",
                "indexes._of(domain).extend(page)",
                "indexes._of(domain).extend(page[:-1])",
            ),
        ),
    ),
    Mutant(
        "stale-heads",
        "a head that was once asked for is shown for ever",
        (
            Edit(
                "node/heads.py",
                "            kept = self._cache.get(key)\n",
                "            kept = None\n",
            ),
        ),
    ),
    Mutant(
        "parts-end-quietly",
        "a node whose sync has failed goes on as if it were healthy",
        (
            Edit(
                "node/http_sync/schedule.py",
                'ended", peer=hidden(worker.peer.name))\n            self._on_failure(error)\n',
                'ended", peer=hidden(worker.peer.name))\n            del error\n',
            ),
        ),
    ),
    Mutant(
        "trust-by-dialler",
        "what may be pushed depends on which of two links stays",
        (Edit("node/links/permission.py", "known is not None and peer.key == known", "known == peer.url"),),
    ),
    Mutant("cursor-only", "catch-up by timestamps alone", _RECONCILIATION),
    Mutant("http-cursor-only", "catch-up by timestamps alone over plain HTTP", (_RUNS_COMPARE,)),
    Mutant(
        "stale-cursor",
        "a cursor is believed even after a backup was restored",
        (
            Edit(
                "protocol/link/reconciliation.py",
                "        if not self._halves.gives(domain) and not self._halves.takes(domain):\n",
                "        is_wanted = self._halves.gives(domain) or self._halves.takes(domain)\n"
                "        cursors = (self._halves.receiver.cursors, self._halves.sender.cursors)\n"
                "        if not is_wanted or any(each.get(domain) for each in cursors):\n",
            ),
            Edit(
                "node/http_sync/run.py",
                "        if not self._job.is_asked and begun",
                "        if self._report.through[domain] or begun",
            ),
        ),
    ),
    Mutant(
        "cursor-exclusive",
        "a pass begins after the cursor instead of at it",
        (
            Edit(
                "protocol/link/sender.py",
                "after(timestamp) if is_second_held else before(timestamp)",
                "after(timestamp)",
            ),
        ),
        without=(_LINKS_RECONCILE, _GREETING),
    ),
    Mutant(
        "cursor-past-refusals",
        "a cursor moves past records that a full disk refused, and a link never offers them again",
        (Edit("protocol/errors.py", "Code.OVERLOADED, Code.STORAGE_FULL})", "Code.OVERLOADED})"),),
    ),
    Mutant(
        "reconciled-but-one",
        "a list of ids in a reconciliation lacks its last id",
        (
            Edit(
                "protocol/sets/negentropy_message.py",
                "        ids = self._index.ids(span.begin, span.end)\n",
                "        ids = self._index.ids(span.begin, max(span.begin, span.end - 1))\n",
            ),
        ),
    ),
    Mutant(
        "no-graft",
        "a record announced by `have` is never asked for",
        (
            Edit(
                "protocol/gossip/plumtree.py", "            outputs += self._ask(now)\n", "            self._ask(now)\n"
            ),
        ),
        without=_RECONCILIATION,
    ),
    Mutant(
        "erased-unsaid",
        "a peer that asks for an erased record gets no answer",
        (
            Edit(
                "protocol/link/sender.py",
                "        if len(whole) < len(records):\n",
                "        if len(whole) > len(records):\n",
            ),
        ),
    ),
    Mutant(
        "erased-forgotten",
        "after a restart an erased record is not in the index",
        (
            Edit(
                "node/store/sqlite/reading.py",
                '        "WHERE records.no > ? ORDER BY records.no LIMIT ?",\n        (after, KEYS_PAGE),\n',
                '        "WHERE records.no > ? AND records.no NOT IN (SELECT record FROM erasures) "\n'
                '        "ORDER BY records.no LIMIT ?",\n        (after, KEYS_PAGE),\n',
            ),
        ),
    ),
    Mutant(
        "erased-asked-for-ever",
        "a node does not remember what its peer erased",
        (
            Edit(
                "protocol/link/receiver.py",
                "        self._exchanged.erased.note_there(message.domain, message.packed)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "half-quorum",
        "half of the witnesses decide",
        (
            Edit(
                "protocol/witness/policy.py",
                "return (len(self.witnesses) + self.faulty) // 2 + 1",
                "return max(1, len(self.witnesses) // 2)",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "quorum-forgotten",
        "a witness forgets the highest quorum, and what it committed, when a round begins",
        (
            Edit(
                "protocol/witness/voter.py",
                "        return tally.highest_quorum(slot.my_commits) or tally.favourite()\n",
                "        return tally.favourite()\n",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "early-commit",
        "a witness commits at `faulty` + 1 votes",
        (
            Edit(
                "protocol/witness/voter.py",
                "        quorum = self._policy.quorum\n",
                "        quorum = self._policy.faulty + 1\n",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "commit-repeated",
        "a witness whose backup was restored speaks before it knows all that it said",
        (
            Edit(
                "node/witness/own.py",
                "await self._wait_for_all(begun)\n",
                "begun = Begun()\n",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "begun-by-itself",
        "a witness without the file of its newest receipt begins anew",
        (
            Edit(
                "node/witness/own.py",
                "while (begun := await self._read_begun()) is None:",
                "while (begun := await self._read_begun() or Begun()) is None:",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "newest-not-sent",
        "after a crash, a witness does not send its newest receipt again",
        (Edit("node/witness/own.py", "            await self._store(begun.receipt)\n", "            pass\n"),),
        is_of_witnesses=True,
    ),
    Mutant(
        "own-round-time",
        "the time of a round runs from the moment at which the witness itself enters it",
        (
            Edit(
                "protocol/witness/voter.py",
                "slot.running_ms is None and tally.voters_from(slot.round) >= self._policy.quorum:",
                "slot.running_ms is None:",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "no-speaker",
        "a witness does not wait for the speaker of a round",
        (Edit("protocol/witness/voter.py", "        if speaker != self._key:\n", "        if not speaker:\n"),),
        is_of_witnesses=True,
    ),
    Mutant(
        "backdated-entries",
        "an entry counts that is dated before the receipt before it",
        (
            Edit(
                "protocol/witness/testimony.py",
                "before_ms is not None and before_ms < ms <= receipt.at_ms",
                "before_ms is not None and ms <= receipt.at_ms",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "named-refused",
        "a record that a held receipt names has to pass the rules for clients",
        (
            Edit(
                "protocol/witness/admission.py",
                "    if domain.is_named(record.id):\n        return\n",
                "",
            ),
        ),
        is_of_witnesses=True,
    ),
    Mutant(
        "prev-not-demanded",
        "a record without `prev` by the owner follows the head",
        (
            Edit(
                "protocol/witness/label.py",
                "            if record.id not in self._held:\n",
                "            if record.prev is None and self.head and tip_of(self.head).names(record.signedby):\n"
                "                record = msgspec.structs.replace(record, prev=self.head.id)\n"
                "            if record.id not in self._held:\n",
            ),
        ),
        is_of_witnesses=True,
    ),
)
