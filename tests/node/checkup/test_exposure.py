"""Which settings are found unsafe."""

import time
from math import inf
from pathlib import Path

import pytest

from node.checkup.exposure import check_certificate, check_settings, numbers_of
from node.checkup.finding import Level
from node.settings.settings import Settings
from tests.node.authority import Authority

DEFAULTS = numbers_of(Settings())


def levels(numbers: dict[str, float], *, is_public: bool) -> dict[str, Level]:
    """The findings that are not `OK`, by check."""
    findings = check_settings(numbers, is_public=is_public)
    return {finding.check: finding.level for finding in findings if finding.level is not Level.OK}


def test_the_defaults_are_safe() -> None:
    assert levels(DEFAULTS, is_public=False) == {}


def test_a_public_address_is_always_a_warning() -> None:
    assert levels(DEFAULTS, is_public=True) == {"exposure": Level.WARN}


@pytest.mark.parametrize(
    ("setting", "value", "level"),
    [
        ("max_age", inf, Level.FAIL),
        ("max_age", 86_400, Level.WARN),
        ("max_skew", inf, Level.FAIL),
        ("disk_free_bytes_min", 0, Level.WARN),
    ],
)
def test_some_settings_are_unsafe_even_on_loopback(setting: str, value: float, level: Level) -> None:
    assert levels(DEFAULTS | {setting: value}, is_public=False) == {f"settings.{setting}": level}


@pytest.mark.parametrize(
    "setting",
    [
        "read_share_max", "records_per_second_max", "bytes_per_second_max", "refused_per_minute_max",
        "domains_per_hour_max", "streams_per_address_max",
    ],
)  # fmt: skip
def test_rates_without_limit_are_unsafe_only_on_a_public_address(setting: str) -> None:
    numbers = DEFAULTS | {setting: inf}

    assert levels(numbers, is_public=False) == {}
    assert levels(numbers, is_public=True)[f"settings.{setting}"] is Level.FAIL


def test_a_finding_has_a_remedy_exactly_if_it_is_not_ok() -> None:
    for finding in check_settings(dict.fromkeys(DEFAULTS, inf), is_public=True):
        assert (finding.remedy is None) == (finding.level is Level.OK)


@pytest.mark.parametrize(("days", "level"), [(90, Level.OK), (1, Level.WARN), (-0.5, Level.WARN)])
def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path, days: float, level: Level) -> None:
    authority = Authority(tmp_path, days=days)
    settings = Settings(tls_certificate=authority.chain, tls_key=authority.key)

    assert [finding.level for finding in check_certificate(settings, time.time())] == [level]


def test_a_certificate_that_cannot_be_read_fails(tmp_path: Path) -> None:
    settings = Settings(tls_certificate=tmp_path / "absent.pem")

    assert [finding.level for finding in check_certificate(settings, time.time())] == [Level.FAIL]
