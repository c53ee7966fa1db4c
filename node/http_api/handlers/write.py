"""Writing claims, one or a batch: read the request, let the intake decide, answer with its decision."""

from typing import Final

import msgspec
from aiohttp import web

from node.http_api.answers.json_answer import private
from node.http_api.answers.problems import STATUSES, headers_of
from node.http_api.requests.body_budget import BodyBudget
from node.http_api.requests.caller import origin_of
from node.http_api.requests.conditions import read_precondition
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.refused import RefusedError
from node.intake.arrivals import Submission
from protocol.errors import Code, ProtocolError
from protocol.limits import SPELLING_BYTES_MAX
from protocol.records.outcome import Outcome, Status

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20

BODY_BUDGET: Final = web.AppKey("body_budget", BodyBudget)

_batch = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def put_claim(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    signature = request.match_info["name"]
    try:
        async with request.app[BODY_BUDGET].read(request, SPELLING_BYTES_MAX) as body:
            origin = await origin_of(parts, request, body, read_precondition(request))
            outcome = await parts.ingest.take_one(Submission(signature, body), origin)
    except ProtocolError as error:
        if error.code in (Code.UNAUTHORIZED, Code.BAD_SIGNATURE) or isinstance(error, RefusedError):
            raise  # this is about the request: the record was not looked at
        outcome = Outcome.refused(signature, error)
    return _answer_one(outcome)


def _answer_one(outcome: Outcome) -> web.Response:
    answer = private({shown(outcome.signature): outcome.as_json()}, _status(outcome))
    if outcome.code is not None:
        answer.headers.update(headers_of(outcome.code, outcome.facts))
    return answer


def _status(outcome: Outcome) -> int:
    if outcome.code is not None:
        return STATUSES[outcome.code]
    return 201 if outcome.status is Status.ACCEPTED else 200


async def put_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    if "If-Match" in request.headers or "If-None-Match" in request.headers:
        raise ProtocolError(Code.MALFORMED, "If-Match and If-None-Match go with a single record")
    async with request.app[BODY_BUDGET].read(request, BATCH_BYTES_MAX) as body:
        origin = await origin_of(parts, request, body)
        submissions = read_batch(body)
        outcomes = await parts.ingest.take(submissions, origin) if submissions else []
    return private({shown(outcome.signature): outcome.as_json() for outcome in outcomes})


def read_batch(body: bytes) -> list[Submission]:
    """The entries of `{signature: record}`. The records keep the spelling that they came in.

    Raises:
        ProtocolError: `malformed`, also for a repeated key; `too_large` for too many records.
    """
    try:
        entries = _batch.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"a batch is a JSON object, {{signature: record}}: {error}") from error
    if len(entries) > BATCH_RECORDS_MAX:
        detail = f"{len(entries)} records: a batch has at most {BATCH_RECORDS_MAX}"
        raise ProtocolError(Code.TOO_LARGE, detail, records_max=BATCH_RECORDS_MAX)
    submissions = [Submission(signature, bytes(record)) for signature, record in entries.items()]
    _check_nothing_lost(body, submissions)
    return submissions


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
    return signature.encode(errors="replace").decode()
