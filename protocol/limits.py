"""Limits: every size, range and pattern on which all nodes must agree, each with its reason.

These are constants and not settings. They decide whether a record or a frame is valid, and a node with another value
would split from the network. What one node accepts from whom is a local choice (`records.admission` and the settings).
"""

from typing import Final

SAFE_INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every JSON implementation reads exactly (RFC 7493, section 2.2)."""

RECORD_BYTES_MAX: Final = 65_536
"""Canonical bytes of one record. A claim is a statement and not a file: 64 KiB holds a long text, and 256 such records
make one frame."""

SPELLING_BYTES_MAX: Final = 4 * RECORD_BYTES_MAX
"""Bytes of a record in any JSON spelling, before it is made canonical. This leaves room for indentation, and for most
`\\uXXXX` escapes (six bytes where UTF-8 needs two or three)."""

DEPTH_MAX: Final = 32
"""Levels of objects and arrays. The record itself is the first. Every parser allows far more."""

DOMAIN_CHARACTERS_MAX: Final = 253
"""The longest name in DNS (RFC 1035). Domains look like DNS names."""

DOMAIN_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z"
"""A sync domain: parts of `a-z 0-9 -`, separated by dots; no part is empty or has `-` at an end."""

LABEL_BYTES_MAX: Final = 255
"""The longest file name on common systems, so that a label can be a file name."""

IDS_MAX: Final = 1_000
"""Ids in one `have` or `want`. As a frame they take 67 kB."""

HOPS_MAX: Final = 1_000_000
"""The most hops that a frame may name. Nodes count no further, because a hostile peer can claim any number."""
