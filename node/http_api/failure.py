"""What a client hears if its request has failed."""

from aiohttp import web

from node.fleet.errands import no_writer
from node.http_api.answers.problems import fault, problem_of
from node.http_api.requests.parts import ApiParts
from node.store.contract import StoreError


def failure_of(parts: ApiParts, method: str, target: object, error: BaseException | None) -> web.Response:
    """The answer after a failure of the node. In a fleet, the loss of the right to write is no fault."""
    if parts.standing is not None and isinstance(error, StoreError):
        return problem_of(no_writer())
    return fault(method, target, error)
