"""An entry: one signed record in the lines and listings that nodes write."""

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """A record as it stands in a listing, byte for byte."""

    signature: str
    record: msgspec.Raw
