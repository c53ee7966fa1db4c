"""A text from outside shows all its characters, steers no terminal, and passes for no other text by a trick."""

import pytest

from node.console.visible_text import clipped, safe

PLAIN = ["plain text, grün", "привет", "Ελλάδα", "مرحبا", "한글", "µm", "日本 5 €", ""]

SHOWN = {
    "a terminal's escape": ("\x1b[2J", "\\x1b[2J"),
    "an end of a line": ("a\nb", "a\\nb"),
    "a turn of direction": ("\u202e", "\\u202e"),
    "a space that is no space": ("a\u00a0b", "a\\xa0b"),
    "a letter without a picture": ("garden\u3164", "garden\\u3164"),
    "a joiner of graphemes": ("gar\u034fden", "gar\\u034fden"),
    "a variation": ("garden\ufe0f", "garden\\ufe0f"),
    "half a character": ("\udc80", "\\udc80"),
    "an accent of its own": ("cafe\u0301", "cafe\\u0301"),
    "the sign of Kelvin": ("\u212aing", "\\u212aing"),
    "a Cyrillic letter among Latin letters": ("p\u0430ypal", "p\\u0430ypal"),
    "a Greek letter among Latin letters": ("g\u03b1rden", "g\\u03b1rden"),
}


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_of_any_script_stays(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_what_hides_or_deceives_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_the_words_of_others_are_cut() -> None:
    assert clipped("ab\x1b" + "c" * 10, 4) == "ab\\x1bc"
