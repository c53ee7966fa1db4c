"""Passports: only a process of the fleet can vouch for a caller, for one request, for a minute."""

import pytest

from node.fleet.passport import DIFFERENCE_S_MAX, Passport, seal, secret_of, unseal
from tests.history import ALICE, BOB

SECRET = secret_of(ALICE)
NOW_S = 1_000_000.5
PUT = ("PUT", "/claims/aa?x=1")


@pytest.mark.parametrize("passport", [Passport("192.0.2.7"), Passport("2001:db8::/64"), Passport(None)])
@pytest.mark.parametrize("later_s", [-DIFFERENCE_S_MAX, 0, DIFFERENCE_S_MAX])
def test_what_the_fleet_sealed_is_believed(passport: Passport, later_s: int) -> None:
    sealed = seal(SECRET, *PUT, passport, NOW_S)

    assert unseal(SECRET, *PUT, sealed, int(NOW_S) + later_s) == passport


@pytest.mark.parametrize(
    ("secret", "method", "target", "now_s"),
    [
        (secret_of(BOB), *PUT, NOW_S),
        (SECRET, "DELETE", PUT[1], NOW_S),
        (SECRET, PUT[0], "/claims/ab?x=1", NOW_S),
        (SECRET, *PUT, NOW_S + DIFFERENCE_S_MAX + 1),
        (SECRET, *PUT, NOW_S - DIFFERENCE_S_MAX - 1),
    ],
)
def test_a_seal_of_others_or_for_something_else_is_not_believed(
    secret: bytes, method: str, target: str, now_s: float
) -> None:
    sealed = seal(SECRET, *PUT, Passport("192.0.2.7"), NOW_S)

    assert unseal(secret, method, target, sealed, now_s) is None


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("forged", ["", "1000001", "-", "192.0.2.8", "\xb2", "\udc80", "9" * 400])
def test_no_part_of_a_passport_can_be_changed(place: int, forged: str) -> None:
    parts = seal(SECRET, *PUT, Passport("192.0.2.7"), NOW_S).split(" ")
    parts[place] = forged

    assert unseal(SECRET, *PUT, " ".join(parts), NOW_S) is None


@pytest.mark.parametrize("value", ["", "-", "a b c d", "\xb2\xb2 - 00", f"{10**12} - 00"])
def test_anything_else_is_no_passport(value: str) -> None:
    assert unseal(SECRET, *PUT, value, NOW_S) is None
