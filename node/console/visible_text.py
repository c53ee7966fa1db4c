"""Visible text: each character of a text from outside can be seen, and no name can pass for another by a trick.

A name comes from strangers, and its reader may be a terminal. So a character is shown as an escape if it controls a
terminal or is invisible, if Unicode normalisation (NFC) would replace it by others that look the same, or if it is a
Greek or Cyrillic letter in a word with Latin letters. `node/explorer/page/visible.js` has the same rules for the page.

What is left are words of one script that look like those of another, such as a Cyrillic word of letters that Latin has
too. Only the key of the owner tells such labels apart.
"""

import re
from typing import Final
from unicodedata import is_normalized, name

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
"""Characters that Python calls printable, and that have no picture: fillers, joiners of graphemes, variation selectors
(`Default_Ignorable_Code_Point` in Unicode's DerivedCoreProperties.txt), and the empty Braille pattern.
"""

_WORD: Final = re.compile(r"\w+")
_LOOKALIKES: Final = ("GREEK ", "CYRILLIC ")
"""How the names of letters begin that can look like Latin letters."""


def safe(text: str) -> str:
    """The text with an escape, as Python writes it, for every character that must not be shown as it is."""
    if text.isascii() and text.isprintable():  # nearly all texts
        return text
    strange = {at for at, character in enumerate(text) if not is_visible(character)}
    strange |= _mixed(text) | _not_normal(text)
    return "".join(_escape(character) if at in strange else character for at, character in enumerate(text))


def clipped(text: str, characters_max: int) -> str:
    """The beginning of what somebody else says, for a report, a log and a terminal."""
    return safe(text[:characters_max])


def is_visible(character: str) -> bool:
    """Whether the character has a picture, or is the space."""
    return character.isprintable() and character not in _INVISIBLE


def _mixed(text: str) -> set[int]:
    """Where Greek and Cyrillic letters stand in words that have Latin letters too."""
    if text.isascii():
        return set()
    found: set[int] = set()
    for word in _WORD.finditer(text):
        names = [name(character, "") for character in word[0]]
        if any(each.startswith("LATIN ") for each in names):
            found |= {at for at, each in enumerate(names, word.start()) if each.startswith(_LOOKALIKES)}
    return found


def _not_normal(text: str) -> set[int]:
    """Where characters stand that NFC would replace by others, or would join with those before them."""
    if is_normalized("NFC", text):
        return set()
    found: set[int] = set()
    before = ""
    for at, character in enumerate(text):
        is_normal = is_normalized("NFC", character)
        if not (is_normal and is_normalized("NFC", before + character)):
            found.add(at)
        before = character if is_normal else ""
    return found


def _escape(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()
