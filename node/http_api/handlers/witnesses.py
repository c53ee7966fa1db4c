"""How the witnesses of a domain are."""

from aiohttp import web

from node.http_api.answers.json_answer import public
from node.http_api.handlers.domains import check_domain_known
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import required
from node.witness.report import report_of
from protocol.errors import Code, ProtocolError


async def get_witnesses(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Raises: ProtocolError: `unknown_domain`, also for a domain without witnesses."""
    name = required(request, "domain")
    check_domain_known(parts, name)
    domain = parts.witnessed.get(name)
    if domain is None:
        raise ProtocolError(Code.UNKNOWN_DOMAIN, "this domain has no witnesses: its name does not commit to a policy")
    return public(report_of(domain, parts.witnessing, parts.world.now_s()))
