"""Passing on: what a process that follows does with a request that only the writer can answer."""

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from node.fleet.errands import no_writer
from node.fleet.link_relay import carry_link
from node.fleet.passport import Passport
from node.fleet.relay import Call
from node.http_api.handlers.write import BATCH_BYTES_MAX, BODY_BUDGET, read_wait_s
from node.http_api.requests.caller import passport_of, quota_address
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.proxies import PROXY_HEADERS
from protocol.limits import SPELLING_BYTES_MAX

REACH_S_MAX: Final = 1.0
"""How long an answer waits until this process has what the answer tells of. Then its client can read it here."""

_OF_CALLER: Final = frozenset(name.lower() for name in (*PROXY_HEADERS, "Origin"))
"""Headers that tell of the caller. They are judged here, and the writer gets the result."""


async def pass_on(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Pass the request on to the writer.

    Raises:
        ProtocolError: `overloaded`: there is no writer; or what is wrong with the body.
    """
    relay, following = parts.relay, parts.following
    assert relay is not None, "a process that follows has a relay"
    assert following is not None, "a process that follows has a following"
    if passport_of(parts, request) is not None:  # another process takes this one for the writer, which it is no more
        raise no_writer()
    caller = Passport(quota_address(parts, request))
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in _OF_CALLER)
    if request.path == "/gossip":
        return await carry_link(relay, request, headers, caller)
    bytes_max = BATCH_BYTES_MAX if request.path == "/claims" else SPELLING_BYTES_MAX
    async with request.app[BODY_BUDGET].read(request, bytes_max, caller.address) as body:
        may_wait = read_wait_s(request) is not None
        answer = await relay.send(Call(request.method, request.raw_path, headers, body, caller, may_wait))
    await following.reach(answer.commit, REACH_S_MAX)
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
