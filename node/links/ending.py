"""Why a link is no more."""

import msgspec


class Ending(msgspec.Struct, frozen=True):
    """`code` is None where the network ended it; `is_theirs`: the peer said so. `open_s` is for how long it had been
    open, in seconds; 0: it never was.
    """

    code: str | None
    detail: str
    is_theirs: bool = False
    open_s: float = 0.0

    @property
    def reason(self) -> str:
        return self.detail if self.code is None else f"{self.code}: {self.detail}"
