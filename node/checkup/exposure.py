"""Exposure: settings that are harmless on loopback and dangerous where strangers reach the node.

The settings come as plain numbers, infinite for no limit: from a node that runs, whose metrics show them, or from the
file and the environment that one would start with.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

from node.checkup.finding import Finding, fail, ok, warn
from node.settings import Settings, SettingsError, describe
from node.tls import certificate_of

SECONDS_WARNED: Final = 3_600
"""Of `max_age` and `max_skew`: twelve times the default. Clocks that are further off are broken."""

_RATES: Final = {
    "records_per_second_max": "one address can keep the verifier busy for ever",
    "bytes_per_second_max": "one address can fill the disk",
    "refused_per_minute_max": "one address can make the node check forgeries for ever",
    "domains_per_hour_max": "one address can found domains until no other fits",
    "streams_per_address_max": "one address can hold every stream",
}


def numbers_of(settings: Settings) -> dict[str, float]:
    """The settings that are numbers; infinite where there is no limit."""
    values = {it.name: getattr(settings, it.name) for it in describe() if it.unit}
    return {name: inf if value is None else float(value) for name, value in values.items()}


def check_settings(numbers: Mapping[str, float], *, is_public: bool) -> list[Finding]:
    """What is unsafe about these, where `is_public` says that more than this machine can reach the node."""
    found = [*_check_times(numbers), *_check_disk(numbers)]
    if is_public:
        found += _check_rates(numbers)
        found.append(
            warn(
                "exposure",
                "the node listens on more than loopback",
                "put a TLS proxy in front of it or set tls_certificate, and let a firewall pass nothing else",
            )
        )
    else:
        found.append(ok("exposure", "the node listens on loopback alone"))
    return found


def check_certificate(settings: Settings, now_s: float) -> Iterator[Finding]:
    """Whether the certificate of the settings can be used, and for how long. `now_s`: seconds since the Unix epoch."""
    try:
        certificate = certificate_of(settings)
    except SettingsError as error:
        yield fail("certificate", str(error), "see that the files are readable and belong together")
        return
    if certificate is None:
        return
    warnings = certificate.warnings(now_s)
    for warning in warnings:
        yield warn("certificate", warning, "look at whatever renews it")
    if not warnings:
        yield ok("certificate", "it is valid for two weeks or more")


def _check_times(numbers: Mapping[str, float]) -> Iterator[Finding]:
    harms = {
        "max_age": "any client can write into the past, and so take labels",
        "max_skew": "any client can write ahead of the clock, and so block those who follow",
    }
    for name, harm in harms.items():
        value = numbers.get(name, 0)
        if value == inf:
            yield fail(f"settings.{name}", f"{name} is none: {harm}", f"set {name} to some minutes (default: 300)")
        elif value > SECONDS_WARNED:
            yield warn(f"settings.{name}", f"{name} is {value:.0f} s: {harm}", f"set {name} to some minutes")
        else:
            yield ok(f"settings.{name}", f"{value:.0f} s")


def _check_rates(numbers: Mapping[str, float]) -> Iterator[Finding]:
    for name, harm in _RATES.items():
        if numbers.get(name) == inf:
            yield fail(f"settings.{name}", f"{name} is none: {harm}", f"set {name}; `dnarc config` shows the default")


def _check_disk(numbers: Mapping[str, float]) -> Iterator[Finding]:
    if not numbers.get("disk_free_bytes_min", 1):
        harm = "a full disk ends the node in the middle of a commit"
        yield warn("settings.disk_free_bytes_min", f"disk_free_bytes_min is 0: {harm}", "leave it at 64 MiB")
