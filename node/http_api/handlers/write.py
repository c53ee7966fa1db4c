"""Writing claims, one or a batch: read the request, let the intake decide, answer with its decision."""

import asyncio
import re
from typing import Annotated, Final

import msgspec
from aiohttp import web

from node.http_api.answers.json_answer import private
from node.http_api.answers.problems import STATUSES, headers_of
from node.http_api.requests.body_budget import BodyBudget
from node.http_api.requests.caller import origin_of, quota_address, writer_of
from node.http_api.requests.conditions import read_precondition
from node.http_api.requests.fields import read_list
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.refused import RefusedError
from node.intake.arrivals import Submission
from protocol.errors import Code, ProtocolError
from protocol.limits import SPELLING_BYTES_MAX
from protocol.records.outcome import Outcome, Status
from protocol.records.record import is_witnessed
from protocol.witness.walk import Certainty

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20

BODY_BUDGET: Final = web.AppKey("body_budget", BodyBudget)

SINGLE_S: Final = 0.0002
"""What a single claim costs the loop after its request was read, in a group with others."""

WAIT_S_MAX: Final = 30.0
"""Seconds that a request waits at most for the end of a race."""

_WAIT: Final = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?\Z', re.IGNORECASE)
_FINAL: Final = str(Certainty.FINAL)

COLONS_MAX: Final = 20_000
"""Colons in a batch with a key that is no signature. Each may follow a key, and a key costs 1 us: 8 MiB of tiny keys
held the loop for 0.4 s before they could be counted. Keys as long as a signature are too few for that.
"""

_Signature = Annotated[str, msgspec.Meta(min_length=128, max_length=128)]
_batch = msgspec.json.Decoder(dict[_Signature, msgspec.Raw])
_batch_of_any_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def put_claim(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    signature = request.match_info["name"]
    try:
        writer = writer_of(parts, request)
        async with request.app[BODY_BUDGET].read(request, SPELLING_BYTES_MAX, writer.address) as body:
            origin = await origin_of(parts, request, writer, body, read_precondition(request))
            if origin.address is not None:
                parts.crowd.spend(origin.address, SINGLE_S, asyncio.get_running_loop().time())
            outcome = await parts.ingest.take_one(Submission(signature, body), origin)
    except ProtocolError as error:
        if error.code in (Code.UNAUTHORIZED, Code.BAD_SIGNATURE) or isinstance(error, RefusedError):
            raise  # this error is about the request, and the node did not look at the record
        outcome = Outcome.refused(signature, error)
    seconds = read_wait_s(request)
    if seconds is None or not _may_wait(outcome):
        return answer_one(outcome)
    outcome, is_over = await _wait(parts, outcome, seconds, quota_address(parts, request))
    answer = answer_one(outcome)
    if is_over:
        answer.headers["Preference-Applied"] = "wait"
    return answer


def read_wait_s(request: web.BaseRequest) -> float | None:
    """How many seconds the client prefers to wait for the end of a race (RFC 7240, section 4.3); None: not at all.

    A preference that cannot be read is ignored, as section 2 demands.
    """
    try:
        items = read_list(request, "Prefer").split(",")
    except ProtocolError:
        return None
    match = next(filter(None, map(_WAIT.match, items)), None)
    return None if match is None else min(float(match[1]), WAIT_S_MAX)


def _may_wait(outcome: Outcome) -> bool:
    record = outcome.record
    is_held = outcome.status is not Status.REFUSED
    return is_held and record is not None and not record.is_of_witnesses and is_witnessed(record.domain)


async def _wait(parts: ApiParts, outcome: Outcome, seconds: float, address: str | None) -> tuple[Outcome, bool]:
    """The outcome after this wait, and whether the race is over."""
    record = outcome.record
    assert record is not None, "only a held record is waited for"
    is_over = await parts.waiting.end_of(record, seconds, address)
    label = await parts.waiting.read(record, address)
    assert label is not None, "the label of a held record is there"
    winner = label.winner_over(record.id)
    if winner is not None:
        detail = f"the witnesses decided another record in its place, {winner.id}"
        error = ProtocolError(Code.STALE, detail, winner=winner.id)
        return Outcome.refused(outcome.signature, error, record), is_over
    facts: dict[str, object] = {"certainty": label.certainty_of(record.id)}
    verdict = label.verdict(record.id)
    return Outcome(outcome.signature, Status.ACCEPTED, record, verdict, facts=facts), is_over


def answer_one(outcome: Outcome) -> web.Response:
    answer = private({shown(outcome.signature): outcome.as_json()}, status_of(outcome))
    if outcome.code is not None:
        answer.headers.update(headers_of(outcome.code, outcome.facts))
    return answer


def status_of(outcome: Outcome) -> int:
    if outcome.code is not None:
        return STATUSES[outcome.code]
    if outcome.status is not Status.ACCEPTED:
        return 200
    return 201 if outcome.facts.get("certainty", _FINAL) == _FINAL else 202


async def put_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    if "If-Match" in request.headers or "If-None-Match" in request.headers:
        raise ProtocolError(Code.MALFORMED, "If-Match and If-None-Match go with a single record")
    writer = writer_of(parts, request)
    async with request.app[BODY_BUDGET].read(request, BATCH_BYTES_MAX, writer.address) as body:
        origin = await origin_of(parts, request, writer, body)
        submissions = read_batch(body)
        outcomes = await parts.ingest.take(submissions, origin) if submissions else []
    return private({shown(outcome.signature): outcome.as_json() for outcome in outcomes})


def read_batch(body: bytes) -> list[Submission]:
    """The entries of `{signature: record}`. The records keep the spelling that they came in.

    Raises:
        ProtocolError: `malformed`, also for a repeated key; `too_large` for too many records.
    """
    try:
        entries = _entries(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"a batch is a JSON object, {{signature: record}}: {error}") from error
    if len(entries) > BATCH_RECORDS_MAX:
        detail = f"{len(entries)} records: a batch has at most {BATCH_RECORDS_MAX}"
        raise ProtocolError(Code.TOO_LARGE, detail, records_max=BATCH_RECORDS_MAX)
    submissions = [Submission(signature, bytes(record)) for signature, record in entries.items()]
    _check_nothing_lost(body, submissions)
    return submissions


def _entries(body: bytes) -> dict[str, msgspec.Raw]:
    """The entries of a batch. A key that is no signature gets an outcome of its own.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: this is no batch.
        ProtocolError: `malformed` for many keys that are no signatures.
    """
    try:
        return _batch.decode(body)
    except msgspec.ValidationError:
        if body.count(b":") > COLONS_MAX:
            raise ProtocolError(
                Code.MALFORMED, "a key of this batch is no signature, which has 128 hex digits"
            ) from None
        return _batch_of_any_keys.decode(body)


def _check_nothing_lost(body: bytes, submissions: list[Submission]) -> None:
    """Refuse a batch with a repeated key. msgspec keeps the last of two equal keys and does not report it.

    Outside of the records, the object has two quotation marks for each key and no others. A lost entry leaves further
    quotation marks behind.

    Raises:
        ProtocolError: `malformed`.
    """
    outside = body.count(b'"') - sum(submission.body.count(b'"') for submission in submissions)
    if outside != 2 * len(submissions):
        raise ProtocolError(Code.MALFORMED, "a signature stands twice in this batch, or holds a quotation mark")


def shown(signature: str) -> str:
    """A signature as JSON can hold it: bytes of the path that are not UTF-8 become question marks."""
    return signature if signature.isascii() else signature.encode(errors="replace").decode()
