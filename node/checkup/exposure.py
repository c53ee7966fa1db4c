"""Exposure: settings that are harmless on loopback and dangerous if strangers reach the node.

The settings come as plain numbers, where infinity means no limit. They are those of a running node, which its metrics
show, or those with which a node would start here.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

from node.checkup.finding import Finding, fail, ok, warn
from node.settings.description import describe
from node.settings.loading import SettingsError
from node.settings.settings import Settings
from node.tls import certificate_of

SECONDS_WARNED: Final = 3_600
"""Seconds of `max_age` and `max_skew` that cause a warning: twelve times the default. Only a broken clock needs as
much."""

_TIMES: Final = {
    "max_age": "any client can write into the past, and take labels in this way",
    "max_skew": "any client can write ahead of the clock, and block those who follow",
}
_RATES: Final = {
    "read_share_max": "one address can keep the node busy with reads",
    "records_per_second_max": "one address can keep the verifier busy",
    "bytes_per_second_max": "one address can fill the disk",
    "refused_per_minute_max": "one address can make the node check forgeries without end",
    "domains_per_hour_max": "one address can found domains until no other fits",
    "streams_per_address_max": "one address can hold every stream",
}


def numbers_of(settings: Settings) -> dict[str, float]:
    """The settings that are numbers. A setting without a limit is infinite."""
    values = {it.name: getattr(settings, it.name) for it in describe() if it.unit}
    return {name: inf if value is None else float(value) for name, value in values.items()}


def check_settings(numbers: Mapping[str, float], *, is_public: bool) -> list[Finding]:
    """Find unsafe settings. `is_public`: other machines can reach the node."""
    found = [*_check_times(numbers), *_check_disk(numbers)]
    if not is_public:
        return [*found, ok("exposure", "the node listens on loopback alone")]
    remedy = "put a TLS proxy in front of it or set tls_certificate, and let a firewall pass nothing else"
    return [*found, *_check_rates(numbers), warn("exposure", "the node listens on more than loopback", remedy)]


def check_certificate(settings: Settings, now_s: float) -> Iterator[Finding]:
    """Check the certificate of the settings, if they have one. `now_s`: seconds since the Unix epoch."""
    try:
        certificate = certificate_of(settings)
    except SettingsError as error:
        yield fail("certificate", str(error), "correct tls_certificate and tls_key: a node does not start with them")
        return
    if certificate is None:
        return
    warnings = certificate.warnings(now_s)
    for warning in warnings:
        yield warn("certificate", warning, "check the program that renews it")
    if not warnings:
        yield ok("certificate", "it is valid for two weeks or more")


def _check_times(numbers: Mapping[str, float]) -> Iterator[Finding]:
    for name, harm in _TIMES.items():
        value = numbers.get(name, 0)
        remedy = f"set {name} to a few minutes (the default is 300 s)"
        if value == inf:
            yield fail(f"settings.{name}", f"{name} is none: {harm}", remedy)
        elif value > SECONDS_WARNED:
            yield warn(f"settings.{name}", f"{name} is {value:.0f} s: {harm}", remedy)
        else:
            yield ok(f"settings.{name}", f"{value:.0f} s")


def _check_rates(numbers: Mapping[str, float]) -> Iterator[Finding]:
    for name, harm in _RATES.items():
        if numbers.get(name) == inf:
            yield fail(f"settings.{name}", f"{name} is none: {harm}", f"set {name}; `dnarc config` shows the default")


def _check_disk(numbers: Mapping[str, float]) -> Iterator[Finding]:
    if not numbers.get("disk_free_bytes_min", 1):
        harm = "the node ends in the middle of a commit when the disk is full"
        yield warn("settings.disk_free_bytes_min", f"disk_free_bytes_min is 0: {harm}", "set it to 67108864 (64 MiB)")
