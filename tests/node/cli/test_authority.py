"""Commands that ask a node over TLS, with an authority of the operator's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.authority import Authority
from tests.node.cli.conftest import Served, run
from tests.node.cli.test_examples import all_commands, command_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def behind_tls(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Served]:
    flags = ("--tls-certificate", str(authority.chain), "--tls-key", str(authority.key))
    node = Served(tmp_path_factory.mktemp("node"), *flags)
    assert node.url.startswith("https://")
    yield node
    node.stop()


def test_a_node_that_no_known_authority_vouches_for_is_not_believed(behind_tls: Served) -> None:
    ended = behind_tls.run("domains")

    assert ended.code == 3
    assert ended.err.startswith(
        f"dnarc: unreachable: no node answers at {behind_tls.url}: no known authority has signed its certificate "
        "(name the file of the authority"
    )


def test_a_node_is_believed_where_the_authority_named_vouches_for_it(behind_tls: Served, authority: Authority) -> None:
    by_flag = behind_tls.run("domains", "--tls-ca", str(authority.ca), "--json")
    by_variable = run("domains", "--node", behind_tls.url, "--json", DNARC_TLS_CA=str(authority.ca))

    assert (by_flag.json, by_variable.json) == ({}, {})


@pytest.mark.parametrize("command", ["top", "doctor", "sync", "peers list", "watch --count 1 --since 1 --no-reconnect"])
def test_each_way_to_ask_a_node_names_the_authority(behind_tls: Served, authority: Authority, command: str) -> None:
    ended = behind_tls.run(*command.split(), "--tls-ca", str(authority.ca), "--json")

    assert "no known authority" not in ended.err + ended.out
    assert ended.code in (0, 1), "the node has answered, if with a refusal"


def test_an_authority_that_cannot_be_read_is_wrong_usage(behind_tls: Served, tmp_path: Path) -> None:
    ended = behind_tls.run("domains", "--tls-ca", str(tmp_path / "absent.pem"))

    assert (ended.code, "settings: the authority's certificate" in ended.err) == (2, True)


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_whatever_takes_a_node_takes_an_authority_for_it(name: str) -> None:
    command, _ = command_of(name.split())

    options = {option for parameter in command.params for option in parameter.opts}

    assert ("--node" in options) <= ("--tls-ca" in options)
