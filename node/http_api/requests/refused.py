"""Refusals of HTTP's own: the status says more than a code of the contract could.

A transfer coding that the node does not know is 501 in RFC 9112, for example, and `malformed` in the contract.
"""

from collections.abc import Mapping

from protocol.errors import Code, ProtocolError


class RefusedError(ProtocolError):
    """A refusal whose status says more than its code. `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        code: Code = Code.MALFORMED,
    ) -> None:
        super().__init__(code, detail)
        self.status = status
        self.headers = headers or {}
