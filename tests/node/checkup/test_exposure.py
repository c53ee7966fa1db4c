"""Settings that strangers could use."""

import time
from math import inf
from pathlib import Path

import pytest

from node.checkup.exposure import check_certificate, check_settings, numbers_of
from node.checkup.finding import State
from node.settings import Settings
from tests.node.authority import Authority

DEFAULTS = numbers_of(Settings())


def states(numbers: dict[str, float], *, is_public: bool) -> dict[str, State]:
    """What is not well, by check."""
    findings = check_settings(numbers, is_public=is_public)
    return {finding.check: finding.state for finding in findings if finding.state is not State.OK}


def test_the_defaults_are_safe() -> None:
    assert states(DEFAULTS, is_public=False) == {}


def test_a_public_address_is_always_worth_a_thought() -> None:
    assert states(DEFAULTS, is_public=True) == {"exposure": State.WARN}


@pytest.mark.parametrize(
    ("setting", "value", "state"),
    [
        ("max_age", inf, State.FAIL),
        ("max_age", 86_400, State.WARN),
        ("max_skew", inf, State.FAIL),
        ("disk_free_bytes_min", 0, State.WARN),
    ],
)
def test_what_is_unsafe_anywhere_is_said_anywhere(setting: str, value: float, state: State) -> None:
    assert states(DEFAULTS | {setting: value}, is_public=False) == {f"settings.{setting}": state}


@pytest.mark.parametrize(
    "setting",
    [
        "records_per_second_max", "bytes_per_second_max", "refused_per_minute_max", "domains_per_hour_max",
        "streams_per_address_max",
    ],
)  # fmt: skip
def test_rates_without_limit_are_unsafe_on_a_public_address_alone(setting: str) -> None:
    numbers = DEFAULTS | {setting: inf}

    assert states(numbers, is_public=False) == {}
    assert states(numbers, is_public=True)[f"settings.{setting}"] is State.FAIL


def test_every_finding_that_is_not_well_has_a_remedy() -> None:
    for finding in check_settings(dict.fromkeys(DEFAULTS, inf), is_public=True):
        assert (finding.remedy is None) == (finding.state is State.OK)


@pytest.mark.parametrize(("days", "state"), [(90, State.OK), (1, State.WARN), (-0.5, State.WARN)])
def test_a_certificate_that_ends_soon_is_found(tmp_path: Path, days: float, state: State) -> None:
    authority = Authority(tmp_path, days=days)
    settings = Settings(tls_certificate=authority.chain, tls_key=authority.key)

    assert [finding.state for finding in check_certificate(settings, time.time())] == [state]


def test_a_certificate_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    settings = Settings(tls_certificate=tmp_path / "absent.pem")

    assert [finding.state for finding in check_certificate(settings, time.time())] == [State.FAIL]
