"""Reading a label: its head, its history and the proof of what is final, all checked here and not believed.

The signatures prove who wrote what. Replay, done here, proves which record is the head, and who owns the label. The
commits of witnesses prove what is final. A node can still hold records back, so a memory notices a node that goes back
in time.
"""

from typing import Final

from node.client.answers import Answer, refusal, signed_record_of_line, signed_records
from node.client.claim import FINAL, Claim
from node.client.conversation import NO_RETRY, Conversation, Request, Retry, ask_again
from node.client.errors import NodeError, Untrusted
from node.client.history import History, ShownHistory, check_history, is_of
from node.client.memory import Memory, lost
from node.client.targets import head_of, history_of, proof_of
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord
from protocol.witness.proof import check_proof

CERTAINTY_HEADER: Final = "dnarc-certainty"

_ABSENT: Final = frozenset({Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL, Code.NOT_FINAL})


class Reader:
    """The questions about a label, as conversations. All of them raise `ClientError`."""

    def __init__(self, retry: Retry = NO_RETRY, memory: Memory | None = None, *, verifies: bool = True) -> None:
        """`memory` holds what the node showed before; None: nothing is remembered. `verifies`: else it is believed."""
        self._retry = retry
        self._memory = memory
        self._verifies = verifies

    def read_head(self, domain: str, label: str) -> Conversation[Claim | None]:
        """The head of a label; None if the node does not know the label.

        A node that shows an older head than before has to explain it by the history of the label.
        """
        before = None if self._memory is None else self._memory.head(domain, label)
        head = yield from self._ask_head(domain, label, {})
        if self._memory is not None:
            if self._memory.is_surprised(before, head):
                assert before is not None, "only a head that was shown before makes another one surprising"
                self._memory.check(before, head, (yield from self._read_past(before)))
            elif head is not None:
                self._memory.note(head)
        return head

    def read_final(self, domain: str, label: str) -> Conversation[Claim | None]:
        """The newest final record of a label of a witnessed domain; None if there is none yet.

        The client asks for the proof and checks it, so it trusts only the name of the domain.
        """
        if not self._verifies:
            return (yield from self._ask_head(domain, label, {"final": "true"}))
        chain = yield from self.read_chain(domain, label)
        return Claim(chain[-1], FINAL) if chain else None

    def read_chain(self, domain: str, label: str) -> Conversation[list[SignedRecord]]:
        """The final records of a label, oldest first, as their proof shows; empty if there is none yet."""
        before = None if self._memory is None else self._memory.head(domain, label)
        path, query = proof_of(domain, label)
        answer = yield from ask_again(Request("GET", path, query), self._retry)
        chain = [] if _is_absent(answer) else check_proof_in(answer, domain, label)
        if self._memory is not None and before is not None:
            self._memory.check_chain(before, [signed.record for signed in chain])
        return chain

    def read_history(self, domain: str, label: str) -> Conversation[History]:
        """All records of a label. Raises: NodeError: `unknown_label`, for example."""
        path, query = history_of(domain, label)
        answer = yield from ask_again(Request("GET", path, query), self._retry)
        shown = answer.read(ShownHistory)
        if (shown.domain, shown.label) != (domain, label):
            raise Untrusted(Code.MALFORMED, f"the node shows the history of another label than {label}")
        return check_history(shown, verifies=self._verifies)

    def _read_past(self, before: Claim) -> Conversation[History]:
        """The history of the label of this head. Raises: Untrusted: the node shows no history."""
        try:
            return (yield from self.read_history(before.domain, before.label))
        except NodeError as error:
            if error.code not in _ABSENT:
                raise
            raise lost(before, "it shows no such label") from error

    def _ask_head(self, domain: str, label: str, query: dict[str, str]) -> Conversation[Claim | None]:
        path, place = head_of(domain, label)
        answer = yield from ask_again(Request("GET", path, place | query), self._retry)
        return None if _is_absent(answer) else head_in(answer, domain, label, verifies=self._verifies)


def _is_absent(answer: Answer) -> bool:
    """Whether the node says that the label has no head. Raises: NodeError: a 404 of something that is no node."""
    if answer.status != 404:
        return False
    error = refusal(answer)
    if error.code not in _ABSENT:
        raise error
    return True


def head_in(answer: Answer, domain: str, label: str, *, verifies: bool = True) -> Claim:
    """The one head in an answer. Raises: NodeError: the node refused. Untrusted: nobody signed it."""
    answer.check()
    try:
        heads = signed_records(answer.body)
    except ProtocolError as error:
        raise Untrusted(Code.BAD_SIGNATURE, f"the node shows no head of {label}: {error.detail}") from error
    if len(heads) != 1 or (verifies and not is_of(heads[0], domain, label)):
        raise Untrusted(Code.BAD_SIGNATURE, f"the node shows a head of {label} that nobody signed")
    return Claim(heads[0], answer.headers.get(CERTAINTY_HEADER))


def check_proof_in(answer: Answer, domain: str, label: str) -> list[SignedRecord]:
    """The final records that the proof in an answer shows. It believes nothing but the name of the domain.

    Raises:
        NodeError: the node refused. Untrusted: the answer proves nothing.
    """
    answer.check()
    try:
        records = [signed_record_of_line(line) for line in answer.body.splitlines()]
        proven = check_proof(domain, label, records)
    except ProtocolError as error:
        raise Untrusted(error.code, f"the node calls a record of {label} final: {error.detail}") from error
    by_id = {signed.record.id: signed for signed in records}
    return [by_id[record.id] for record in proven.chain]
