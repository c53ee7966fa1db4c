"""What a peer may do so many times within a minute."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.per_minute import PerMinute

MOST = 5
NOON_S = 43_200.0


def test_a_peer_may_do_as_much_as_is_allowed_and_not_one_more() -> None:
    lists = PerMinute("lists", MOST)
    lists.count(2, NOON_S)
    lists.count(MOST - 2, NOON_S + 59)

    with pytest.raises(ProtocolError) as caught:
        lists.count(1, NOON_S + 59)

    assert (caught.value.code, caught.value.detail) == (Code.RATE_LIMITED, "6 lists within a minute: 5 at most")


def test_a_minute_later_as_much_is_allowed_again_and_not_one_more() -> None:
    lists = PerMinute("lists", MOST)
    for minute in range(3):
        lists.count(MOST, NOON_S + 60 * minute)

    with pytest.raises(ProtocolError):
        lists.count(1, NOON_S + 179)
