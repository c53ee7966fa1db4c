"""A cursor can be read back, and any other text is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http_api.requests import cursor
from protocol.errors import Code, ProtocolError
from protocol.records.record import is_label
from protocol.sets.index import KEY_BYTES

LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(is_label)


@given(LABELS)
def test_the_cursor_of_a_label_leads_back_to_it(label: str) -> None:
    assert cursor.to_label(cursor.of_label("some.example", label)) == ("some.example", label)


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_the_cursor_of_a_key_leads_back_to_it(key: bytes) -> None:
    assert cursor.to_key(cursor.of_key(key)) == key


@given(st.text())
def test_any_other_text_is_malformed(text: str) -> None:
    for read in (cursor.to_label, cursor.to_key):
        with pytest.raises(ProtocolError) as caught:
            read(text)
        assert caught.value.code is Code.MALFORMED
