"""The caller behind proxies is the rightmost address that no trusted proxy has."""

from ipaddress import ip_address

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from node.http_api.requests.proxies import Proxies

PROXY, INNER = "10.0.0.1", "10.0.0.2"
CALLER, FORGED = "192.0.2.1", "198.51.100.9"
TRUSTED = Proxies(["10.0.0.0/8", "::1", "fd00::/8"])


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


CALLERS = {
    "no header": ([], PROXY),
    "one address": ([("X-Forwarded-For", CALLER)], CALLER),
    "a forged address to the left": ([("X-Forwarded-For", f"{FORGED}, {CALLER}")], CALLER),
    "a forged loopback to the left": ([("X-Forwarded-For", f"127.0.0.1, {CALLER}")], CALLER),
    "two proxies": ([("X-Forwarded-For", f"{FORGED}, {CALLER}, {INNER}")], CALLER),
    "two lines": ([("X-Forwarded-For", FORGED), ("X-Forwarded-For", CALLER)], CALLER),
    "only proxies": ([("X-Forwarded-For", f"{INNER}, {PROXY}")], INNER),
    "a port": ([("X-Forwarded-For", f"{CALLER}:4711")], CALLER),
    "IPv6": ([("X-Forwarded-For", "2001:db8::1")], "2001:db8::1"),
    "IPv6 with a port": ([("X-Forwarded-For", "[2001:db8::1]:4711")], "2001:db8::1"),
    "IPv4 as IPv6": ([("X-Forwarded-For", f"::ffff:{CALLER}")], CALLER),
    "garbage to the right": ([("X-Forwarded-For", f"{FORGED}, unknown")], PROXY),
    "garbage behind a proxy": ([("X-Forwarded-For", f"{FORGED}, unknown, {INNER}")], INNER),
    "an empty header": ([("X-Forwarded-For", "")], PROXY),
    "the standard": ([("Forwarded", f"for={CALLER};proto=https;by={PROXY}")], CALLER),
    "the standard, for last": ([("Forwarded", f"proto=https; For={CALLER}")], CALLER),
    "the standard, in quotes": ([("Forwarded", f'for="{CALLER}:80"')], CALLER),
    "the standard, IPv6": ([("Forwarded", 'for="[2001:db8::1]:4711"')], "2001:db8::1"),
    "the standard, a forged item": ([("Forwarded", f"for={FORGED}, for={CALLER}")], CALLER),
    "the standard, an open quote": ([("Forwarded", f'for="{FORGED}, for={CALLER}')], CALLER),
    "the standard, hidden": ([("Forwarded", f"for={FORGED}, for=_hidden")], PROXY),
    "the standard, no for": ([("Forwarded", "proto=https")], PROXY),
    "both, alike": ([("Forwarded", f"for={CALLER}"), ("X-Forwarded-For", CALLER)], CALLER),
    "both, one forged": ([("Forwarded", f"for={FORGED}"), ("X-Forwarded-For", CALLER)], PROXY),
}


@pytest.mark.parametrize(("lines", "caller"), CALLERS.values(), ids=CALLERS.keys())
def test_behind_a_trusted_proxy_its_header_names_the_caller(lines: list[tuple[str, str]], caller: str) -> None:
    assert TRUSTED.caller_of(ip_address(PROXY), headers(*lines)) == ip_address(caller)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_the_header_of_any_other_proxy_names_nobody(header: str) -> None:
    remote = ip_address(FORGED)

    assert TRUSTED.caller_of(remote, headers((header, CALLER), (header, f"for={CALLER}"))) == remote


@pytest.mark.parametrize(("address", "is_trusted"), [(INNER, True), ("::1", True), ("fd00::7", True), (CALLER, False)])
def test_a_proxy_is_trusted_by_its_network(address: str, is_trusted: bool) -> None:
    assert TRUSTED.is_trusted(ip_address(address)) is is_trusted
