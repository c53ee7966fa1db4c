"""What fills the store: the largest domains and keys. Only for operators, because it reads every key."""

from typing import Final

from aiohttp import web

from node.disk import store_bytes
from node.http_api.answers.json_answer import private
from node.http_api.handlers.read import QUOTAS
from node.http_api.requests.caller import check_operator
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import LIMIT_MAX, integer
from node.intake.usage import largest
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Amount
from protocol.records.record import is_domain

ITEMS_SHOWN: Final = 20


async def get_usage(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    check_operator(parts, request)
    domain, limit = request.query.get("domain"), integer(request, "limit", 1, LIMIT_MAX) or ITEMS_SHOWN
    if domain is not None and not is_domain(domain):
        raise ProtocolError(Code.MALFORMED, "`domain` is the name of a domain", parameter="domain")
    settings, domains = parts.settings, parts.ingest.usage.domains
    keys = await parts.store.largest_keys(domain, limit)
    return private(
        {
            "store": {"bytes": sum(store_bytes(settings.data).values()), "soft": settings.store_bytes_soft},
            "disk": {
                "free": parts.ingest.room.disk_free_bytes(),
                "soft": settings.disk_free_bytes_soft,
                "min": settings.disk_free_bytes_min,
            },
            "quotas": {name: getattr(settings, name) for name in QUOTAS},
            "records": sum(amount.records for amount in domains.values()),
            "bytes": sum(amount.size_bytes for amount in domains.values()),
            "domains": [{"domain": name} | _shown(amount) for name, amount in largest(domains, limit)],
            "keys": [{"key": key} | _shown(amount) for key, amount in keys],
        }
    )


def _shown(amount: Amount) -> dict[str, int]:
    return {"records": amount.records, "bytes": amount.size_bytes}
