"""A tie: which machine lists which other as a peer, and which way records are to flow."""

import msgspec


class Tie(msgspec.Struct, frozen=True):
    """One machine lists another as a peer, to push to it, to pull from it, or both."""

    dialler: str
    acceptor: str
    push: bool = True
    pull: bool = True
    scheme: str = "ws"

    @property
    def flows(self) -> list[tuple[str, str]]:
        """From whom to whom records are to go."""
        out, back = (self.dialler, self.acceptor), (self.acceptor, self.dialler)
        return [flow for flow, is_wanted in ((out, self.push), (back, self.pull)) if is_wanted]
