"""Taking records down, by an operator: what to remove, what a removal would do, and what was removed.

A removal goes on if its caller leaves. A caller that waits gets the removal as it is after some seconds, and asks
again.
"""

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from node.http_api.answers.json_answer import private
from node.http_api.handlers.write import BODY_BUDGET
from node.http_api.requests.caller import check_admin, check_operator
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import LIMIT_MAX, integer, required
from node.store.removals import BY_CHARACTERS_MAX, IDS_MAX, REASON_CHARACTERS_MAX, Removal, RemovalKind, Target
from protocol.errors import Code, ProtocolError
from protocol.records.record import is_domain, is_id, is_label, is_witnessed
from protocol.signing import is_key

REMOVAL_BYTES_MAX: Final = 16_384

WAIT_S: Final = 1.0
"""Seconds that a caller waits for a removal to be done."""

WAIT_S_MAX: Final = 60

LISTED: Final = 100
"""Removals of a page, if the caller does not say how many."""

_TEXT: Final = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
_UNNAMED: Final = "admin"


class RemovalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A removal as a request spells it. `dry_run`: only count."""

    kind: RemovalKind = RemovalKind.ERASE
    ids: Annotated[tuple[str, ...], Meta(max_length=IDS_MAX)] = ()
    domain: str | None = None
    label: str | None = None
    key: str | None = None
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX, pattern=_TEXT)] = ""
    by: Annotated[str, Meta(max_length=BY_CHARACTERS_MAX, pattern=_TEXT)] = _UNNAMED
    dry_run: bool = False

    @property
    def target(self) -> Target:
        return Target(self.ids, self.domain, self.label, self.key)


async def delete_record(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Erase one record, and answer when its bytes are gone."""
    check_admin(parts, request)
    fields = {"reason": request.query.get("reason", ""), "by": request.query.get("by", _UNNAMED)}
    body = _converted(fields | {"ids": (request.match_info["id"],)})
    await _check(parts, body)
    removal = await parts.removals.begin(RemovalKind.ERASE, body.target, body.by, body.reason)
    return private((await parts.removals.wait(removal.number, WAIT_S_MAX)).shown)


async def post_removal(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Begin a removal, or count what it would do. 202: it goes on."""
    check_admin(parts, request)
    async with request.app[BODY_BUDGET].read(request, REMOVAL_BYTES_MAX, None) as content:
        body = _read(content)
    await _check(parts, body)
    if body.dry_run:
        return private(msgspec.to_builtins(await parts.store.removals.count(body.target)))
    removal = await parts.removals.begin(body.kind, body.target, body.by, body.reason)
    return _answer(parts, await parts.removals.wait(removal.number, WAIT_S))


async def get_removals(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """What was removed, newest first, and the domains that are dropped."""
    check_operator(parts, request)
    before, limit = integer(request, "before", 1), integer(request, "limit", 1, LIMIT_MAX) or LISTED
    removals = await parts.store.removals.list(before, limit)
    return private(
        {"removals": [each.shown for each in removals], "dropped": sorted(await parts.store.removals.dropped())}
    )


async def get_removal(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """One removal, when it is done or after `wait` seconds."""
    check_operator(parts, request)
    text = request.match_info["number"]
    known = await parts.store.removals.list(None, 1)
    if not (text.isascii() and text.isdigit() and known and 1 <= int(text[:18]) <= known[0].number):
        raise ProtocolError(Code.UNKNOWN_RECORD, "there is no such removal: GET /removals lists them")
    wait_s = integer(request, "wait", 0, WAIT_S_MAX)
    return _answer(parts, await parts.removals.wait(int(text), WAIT_S if wait_s is None else wait_s))


async def delete_dropped(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Keep a dropped domain again. Its records come back from peers and clients."""
    check_admin(parts, request)
    domain = required(request, "domain")
    if not await parts.removals.keep_again(domain):
        raise ProtocolError(Code.UNKNOWN_DOMAIN, "this domain is not dropped: GET /removals lists the dropped domains")
    return private({"domain": domain, "dropped": False})


def _answer(parts: ApiParts, removal: Removal) -> web.Response:
    return private(removal.shown, 202 if parts.removals.is_going_on(removal.number) else 200)


def _read(content: bytes) -> RemovalBody:
    """Raises: ProtocolError: `malformed`."""
    try:
        return msgspec.json.decode(content, type=RemovalBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from error


def _converted(fields: dict[str, object]) -> RemovalBody:
    try:
        return msgspec.convert(fields, RemovalBody)
    except msgspec.MsgspecError as error:
        raise _malformed(str(error)) from error


async def _check(parts: ApiParts, body: RemovalBody) -> None:
    """Check that the target is one that can be removed.

    Raises:
        ProtocolError: `malformed`; `unknown_record`; `not_erasable`.
    """
    _check_target(body)
    if body.kind is RemovalKind.DROP and body.domain in (parts.settings.witness or ()):
        detail = "this node is a witness of the domain: take it out of the setting `witness` first"
        raise ProtocolError(Code.NOT_ERASABLE, detail)
    if body.label is not None and body.domain is not None and is_witnessed(body.domain) and body.label.startswith("@"):
        raise _not_erasable()
    await parts.commits.drain()  # a removal covers the records that a client was just told about
    held = await parts.store.records(body.ids)
    missing = [record_id for record_id in body.ids if record_id not in held]
    if missing:
        raise ProtocolError(Code.UNKNOWN_RECORD, "this node holds no such record", ids=missing)
    if any(stored.signed.record.is_of_witnesses for stored in held.values()):
        raise _not_erasable()


def _check_target(body: RemovalBody) -> None:
    """Raises: ProtocolError: `malformed`."""
    is_shaped = (
        all(map(is_id, body.ids))
        and (body.domain is None or is_domain(body.domain))
        and (body.label is None or is_label(body.label))
        and (body.key is None or is_key(body.key))
    )
    named = (bool(body.ids), body.key is not None, body.domain is not None, body.label is not None)
    if body.kind is RemovalKind.DROP:
        is_shaped &= named == (False, False, True, False)
    if not is_shaped or named not in _TARGETS:
        raise _malformed("name `ids`, or `domain` and `label`, or `key`, or `domain`, or `key` and `domain`")


_TARGETS: Final = {
    (True, False, False, False),
    (False, True, False, False),
    (False, True, True, False),
    (False, False, True, False),
    (False, False, True, True),
}
"""What goes together: ids, key, domain, label."""


def _malformed(reason: str) -> ProtocolError:
    return ProtocolError(
        Code.MALFORMED, f"a removal is {{kind, ids, domain, label, key, reason, by, dry_run}}: {reason}"
    )


def _not_erasable() -> ProtocolError:
    detail = "policies and receipts of a witnessed domain are not erased, because votes would be lost with them"
    return ProtocolError(Code.NOT_ERASABLE, detail)
