"""A tie: one machine lists another as a peer, in one direction of flow or in both."""

import msgspec


class Tie(msgspec.Struct, frozen=True):
    """`dialler` lists `acceptor` as a peer, to push records to it, to pull records from it, or both.

    Both are names of machines. `scheme`: `ws` for a link, `http` for sync over plain HTTP.
    """

    dialler: str
    acceptor: str
    push: bool = True
    pull: bool = True
    scheme: str = "ws"

    @property
    def flows(self) -> list[tuple[str, str]]:
        """The directions in which records flow, as (source, target)."""
        out, back = (self.dialler, self.acceptor), (self.acceptor, self.dialler)
        return [flow for flow, is_wanted in ((out, self.push), (back, self.pull)) if is_wanted]
