"""A key with which two processes run is told apart from a node that starts again."""

import pytest

from protocol.link.copies import COPIED_S, INSTANCES_MAX, KEYS_MAX, Copies

KEY = "ab" * 32
NOW = 1_000.0


def seen(*instances: str) -> Copies:
    copies = Copies()
    for instance in instances:
        copies.see(KEY, instance, NOW)
    return copies


@pytest.mark.parametrize(
    ("instances", "is_copied"),
    [
        ("", False),
        ("x", False),
        ("xx", False),
        ("xy", False),
        ("xyz", False),
        ("xyyy", False),
        ("xyx", True),
        ("xxyyx", True),
        ("xyzx", True),
        ("xyzy", True),
        ("xyxy", True),
    ],
)
def test_an_instance_that_comes_back_shows_a_copy(instances: str, is_copied: bool) -> None:
    """A node that starts again has a new instance each time, and the old one is gone for good."""
    assert seen(*instances).is_copied(KEY, NOW) is is_copied


def test_a_peer_that_does_not_say_its_instance_shows_nothing() -> None:
    assert not seen("x", "", "x", "").is_copied(KEY, NOW)


def test_a_sign_of_a_copy_counts_for_some_time() -> None:
    copies = seen("x", "y", "x")

    assert copies.is_copied(KEY, NOW + COPIED_S - 1)
    assert not copies.is_copied(KEY, NOW + COPIED_S)

    copies.see(KEY, "y", NOW + COPIED_S)

    assert copies.is_copied(KEY, NOW + COPIED_S)


def test_keys_are_told_apart() -> None:
    copies = seen("x", "y")
    copies.see("cd" * 32, "x", NOW)

    assert not copies.is_copied(KEY, NOW)
    assert not copies.is_copied("cd" * 32, NOW)


@pytest.mark.parametrize(("others", "is_remembered"), [(INSTANCES_MAX, True), (INSTANCES_MAX + 1, False)])
def test_the_instances_of_a_key_are_limited(others: int, is_remembered: bool) -> None:
    copies = seen("x", *(f"other {number}" for number in range(others)))

    copies.see(KEY, "x", NOW)

    assert copies.is_copied(KEY, NOW) is is_remembered


@pytest.mark.parametrize(("others", "is_remembered"), [(KEYS_MAX - 1, True), (KEYS_MAX, False)])
def test_the_keys_are_limited(others: int, is_remembered: bool) -> None:
    copies = seen("x", "y", "x")

    for number in range(others):
        copies.see(f"{number:064x}", "x", NOW)

    assert copies.is_copied(KEY, NOW) is is_remembered
