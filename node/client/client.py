"""The client that applications import: one class, asynchronous, for one node.

It believes nothing that can be checked. Every signature is verified, every history is replayed here, every proof of the
witnesses is checked, and the heads that the node showed are remembered, so that a node that goes back in time is
noticed. Every request may be sent twice, so requests are repeated while the node is away or busy, up to a limit.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from node.client.answers import NodeSummary, signed_record_of_line
from node.client.claim import FINAL, Claim, check_content
from node.client.content import Content
from node.client.conversation import DEFAULT_RETRY, Backoff, Conversation, Request, Retry, ask_again
from node.client.errors import ClientError, Conflict, NodeError, Refused, Untrusted
from node.client.following import EventReader, NodeEvent, asked_wait_s, is_passing
from node.client.history import History
from node.client.memory import Memory
from node.client.publishing import Outcome, must_follow, put, put_in_time, sign_next
from node.client.reading import Reader
from node.client.targets import path_of
from node.client.transport import Transport
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, is_witnessed
from protocol.signing import SigningKey

MERGES_MAX: Final = 8
"""How often a put that lost a race is merged and sent again. A label that is written faster has too many writers."""

Merge = Callable[[Claim | None], Mapping[str, Any]]
"""Gives the content of the next record from the head of the label; None: the label has no head."""

_CONFLICTS: Final = frozenset({Code.STALE, Code.NOT_OWNER, Code.PRECONDITION_FAILED})


class _Unset:
    """The type of `ANY_HEAD`."""


ANY_HEAD: Final = _Unset()
"""Follow whatever the head of the label is now."""


class Put(msgspec.Struct, frozen=True):
    """A record that the node holds now. `is_new`: it did not hold the record before."""

    claim: Claim
    is_new: bool


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a label: `type` is `accepted`, `reverted` or `final`, and `claim` the record.

    `reverted`: the head changed in another way than by a record that follows it; `previous` is the id of the old head,
    and `reason` says why. `cursor` resumes the stream after this event.
    """

    type: str
    claim: Claim
    cursor: str
    seq: int
    previous: str | None = None
    reason: str | None = None


class Client:
    """A client of one node. Use it as `async with Client(url) as client`, or call `close` at the end.

    Calls may run concurrently. Every call raises `ClientError` if it fails.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        authority: Path | None = None,
        timeout_s: float = 60.0,
        retry: Retry = DEFAULT_RETRY,
        verify: bool = True,
    ) -> None:
        """`token` is the node's admin token. `authority` is the PEM file of the authority of the node's certificate.

        `timeout_s`: how long the node may be silent. `retry`: how often a request is repeated. `verify`: False believes
        the node, which only makes sense for a node of your own.

        Raises:
            ValueError: this is no URL of a node.
        """
        self._transport = Transport(url, token, authority, timeout_s)
        self._retry = retry
        self._verifies = verify
        self._memory = Memory()
        self._reader = Reader(retry, self._memory if verify else None, verifies=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    @property
    def url(self) -> str:
        """The URL of the node, without a password."""
        return self._transport.url

    async def node(self) -> NodeSummary:
        """What the node says of itself: its key, its version, its domains and its limits."""
        answer = await self._transport.converse(ask_again(Request("GET", "/node"), self._retry))
        return answer.read(NodeSummary)

    async def get(self, domain: str, label: str, *, final: bool = False) -> Claim | None:
        """The head of a label; None if nothing is claimed under it.

        `final`: the newest record that witnesses decided, with its proof checked here; None if there is none yet.
        """
        read = self._reader.read_final if final else self._reader.read_head
        return await self._transport.converse(read(domain, label))

    async def history(self, domain: str, label: str) -> History:
        """All records of a label, oldest first, replayed here."""
        return await self._transport.converse(self._reader.read_history(domain, label))

    async def claims(
        self, domain: str | None = None, *, prefix: str | None = None, signedby: str | None = None
    ) -> AsyncGenerator[Claim, None]:
        """The heads of a domain or of all domains, in order, as they arrive. Memory stays flat.

        `prefix`: only labels that begin with it. `signedby`: only labels that this key owns.
        """
        path = path_of("claims", *([] if domain is None else [domain]))
        query = {name: value for name, value in (("prefix", prefix), ("signedby", signedby)) if value is not None}
        async with aclosing(self._transport.lines(path, query)) as lines:
            async for line in lines:
                yield Claim(self._check_listed(line, domain, prefix or "", signedby))

    async def put(
        self,
        domain: str,
        label: str,
        content: Mapping[str, Any] | Merge,
        *,
        key: SigningKey,
        after: Claim | _Unset | None = ANY_HEAD,
        wait_s: float = 60.0,
    ) -> Put:
        """Write a record: found a label, or follow the head of a label that the key owns or that is offered to it.

        `content` replaces the content before it. As a function, it gives the content from the head, and is called again
        with the new head if somebody else wrote first. `newowner` in the content offers the label to a public key;
        without it, an offer is withdrawn. `after`: the record must follow exactly this claim, None: must found the
        label.

        `wait_s`: how many seconds to wait at most for a record whose timestamp is too new, because the owner wrote
        faster than once a second. In a witnessed domain, `wait_for_final` waits until the record is final.

        Raises:
            Conflict: somebody else wrote first. Refused: the node does not take the record.
            ValueError: the content is none, or it holds the secret half of the key.
        """
        draft = _Draft(domain, label, content, key)
        return await self._transport.converse(self._publish(draft, after, wait_s))

    async def put_signed(self, signed: SignedRecord, *, wait_s: float = 60.0) -> Put:
        """Hand a signed record to the node, for example one that was signed elsewhere. It may be sent many times.

        Raises:
            Conflict, Refused.
        """
        outcome = await self._transport.converse(put_in_time(signed, wait_s, self._retry))
        return self._put_of(signed, outcome)

    async def wait_for_final(self, claim: Claim, *, wait_s: float = 60.0) -> Claim:
        """Wait until a record of a witnessed domain is final, and check the proof.

        The node is asked by the record itself, which it knows already.

        Raises:
            Conflict: the witnesses decided another record in its place.
            NodeError: `not_final`: it is not decided after `wait_s` seconds.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff()
        end_s = clock() + wait_s
        while (left_s := end_s - clock()) > 0:
            outcome = await self._transport.converse(put(claim.signed, max(1.0, left_s), self._retry))
            told = self._put_of(claim.signed, outcome).claim
            if told.certainty == FINAL:
                return await self._transport.converse(self._prove(told))
            await asyncio.sleep(min(backoff.draw_s(), left_s))
        raise NodeError(0, Code.NOT_FINAL, f"the witnesses have not decided {claim.id} within {wait_s} s", {})

    async def watch(
        self,
        *,
        domains: Sequence[str] = (),
        labels: Sequence[str] = (),
        final: bool = False,
        since: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Events as they happen, for ever: after a dropped connection it goes on at its cursor.

        `since` is the cursor of the last event that was dealt with; "0" is the beginning, None: from now on. No event
        is missed, and none comes twice. `final`: only records that became final.

        Raises:
            NodeError: `cursor_unknown`: the cursor is not of this node's store, as after a restored backup.
            Unreachable: what answers there is no node. A node that is away is waited for.
        """
        names = [("domain", name) for name in domains] + [("label", name) for name in labels]
        reader, backoff = EventReader([*names, *([("certainty", "final")] if final else [])], since), Backoff()
        wanted = (frozenset(domains), frozenset(labels))
        while True:
            try:
                async with aclosing(self._transport.lines(reader.target())) as lines:
                    async for line in lines:
                        told = reader.read(line)
                        if not line:
                            backoff.reset()
                        if told is not None:
                            yield self._event_of(told, wanted)
                wait_s = backoff.draw_s()
            except ClientError as error:
                if not is_passing(error):
                    raise
                wait_s = backoff.draw_s(asked_wait_s(error))
            await asyncio.sleep(wait_s)

    def _publish(self, draft: "_Draft", after: Claim | _Unset | None, wait_s: float) -> Conversation[Put]:
        """Sign and put the draft, and again after each lost race if the draft can be merged."""
        merges_left = MERGES_MAX if isinstance(after, _Unset) and callable(draft.content) else 0
        head = (yield from self._reader.read_head(draft.domain, draft.label)) if isinstance(after, _Unset) else after
        while True:
            signed = draft.sign_after(head)
            condition = must_follow(None if head is None else head.signed)
            outcome = yield from put_in_time(signed, wait_s, self._retry, condition)
            try:
                return self._put_of(signed, outcome)
            except Conflict:
                if not merges_left:
                    raise
                now = yield from self._reader.read_head(draft.domain, draft.label)
                if now is None or (head is not None and now.id == head.id):  # so a merge would lose again
                    raise
            merges_left, head = merges_left - 1, now

    def _put_of(self, signed: SignedRecord, outcome: Outcome) -> Put:
        """What became of a record. Raises: Refused, Conflict."""
        if outcome.code is not None:
            kind = Conflict if outcome.code in _CONFLICTS else Refused
            raise kind(outcome.http_status, outcome.fields, signed)
        if self._verifies and outcome.fields.get("id") != signed.record.id:
            raise Untrusted(Code.MALFORMED, f"the node took {signed.record.id} for {outcome.fields.get('id')}")
        claim = Claim(signed, outcome.certainty, outcome.fields.get("verdict"))
        if not is_witnessed(signed.record.domain):
            self._memory.note(claim)
        return Put(claim, outcome.fields.get("status") == "accepted")

    def _prove(self, claim: Claim) -> Conversation[Claim]:
        """The claim, if the proof of its label shows that it is final."""
        if self._verifies:
            chain = yield from self._reader.read_chain(claim.domain, claim.label)
            if all(signed.record.id != claim.id for signed in chain):
                raise Untrusted(Code.MALFORMED, f"the node calls {claim.id} final, and its proof does not show it")
            self._memory.note(claim)
        return claim

    def _check_listed(self, line: bytes, domain: str | None, prefix: str, signedby: str | None) -> SignedRecord:
        """The head in a line of a listing. Raises: Untrusted: nobody signed it, or nobody asked for it."""
        try:
            head = signed_record_of_line(line)
        except ProtocolError as error:
            raise Untrusted(error.code, f"the node lists what is no head: {error.detail}") from error
        record = head.record
        is_asked_for = domain in (None, record.domain) and signedby in (None, record.signedby)
        if self._verifies and not (is_asked_for and record.label.startswith(prefix) and head.is_genuine()):
            raise Untrusted(Code.BAD_SIGNATURE, f"the node lists a head that nobody signed or asked for: {record.id}")
        return head

    def _event_of(self, told: NodeEvent, wanted: tuple[frozenset[str], frozenset[str]]) -> Event:
        try:
            signed = told.signed()
        except ProtocolError as error:
            raise Untrusted(error.code, error.detail) from error
        domains, labels = wanted
        if (domains and told.domain not in domains) or (labels and told.label not in labels):
            raise Untrusted(Code.MALFORMED, f"the node tells of {told.label} of {told.domain}, which nobody asked for")
        claim = Claim(signed, FINAL if told.type == FINAL else None)
        if told.type == "accepted":
            self._memory.note(claim)
        return Event(told.type, claim, told.cursor, told.seq, told.previous, told.reason)


class _Draft(msgspec.Struct, frozen=True):
    """A record that is not signed yet."""

    domain: str
    label: str
    content: Mapping[str, Any] | Merge
    key: SigningKey

    def sign_after(self, head: Claim | None) -> SignedRecord:
        """The signed record that follows this head. Raises: ValueError, Refused: this can be no record."""
        given = self.content(head) if callable(self.content) else self.content
        check_content(given, self.key)
        fields: Content = {**given, "domain": self.domain, "label": self.label}
        try:
            return sign_next(None if head is None else head.signed, self.key, fields, int(time.time()))
        except ProtocolError as error:
            raise ValueError(f"this can be no record: {error}") from error
