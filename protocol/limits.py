"""Every size and range that two nodes must agree on, each with its reason.

A record is valid or invalid for the whole network, so these are constants and not settings: a node with another value
here would split from the others. What one node takes from whom is a local choice, and stands in `admission` and in the
settings.
"""

from typing import Final

SAFE_INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every JSON implementation reads exactly (RFC 7493, section 2.2)."""

RECORD_BYTES_MAX: Final = 65_536
"""Canonical bytes of one record. A claim is a statement, not a file: 64 KiB holds a long text and 256 make a frame."""

SPELLING_BYTES_MAX: Final = 4 * RECORD_BYTES_MAX
"""A record in any other JSON spelling, before it is canonical: room for indentation, and for most `\\uXXXX` escapes
(six bytes where UTF-8 needs two or three)."""

DEPTH_MAX: Final = 32
"""Levels of objects and arrays, the record itself being the first. Far below every parser's own limit."""

DOMAIN_CHARACTERS_MAX: Final = 253
"""The longest name in DNS (RFC 1035), which sync domains look like."""

DOMAIN_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z"
"""A sync domain: parts of `a-z 0-9 -`, separated by dots; no part is empty or has `-` at an end."""

LABEL_BYTES_MAX: Final = 255
"""The longest file name on common systems, so that a label can be one."""

IDS_MAX: Final = 1_000
"""Ids in one `have` or `want`: 67 kB as a frame."""

HOPS_MAX: Final = 1_000_000
"""The most hops that a frame can name. Nodes count no further; a hostile peer can claim any number up to here."""
