"""The page for operators of witnesses: its commands are carried out as they stand, by four operators."""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.common.nodes import until_same
from node.witness.newest import path_of
from protocol.witness.policy import make_policy
from simulations.processes.process import LocalNode
from tests.paths import ROOT
from tests.test_operations import carry_out

PAGE = (ROOT / "docs" / "witnesses.md").read_text(encoding="utf-8")
FOLDER = "/var/lib/dnarc"


def blocks(heading: str) -> list[list[str]]:
    """The commands of each block in a section, in order."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


START, NAME, BEGIN, LINK, PUBLISH = blocks("Begin")
(USE,) = blocks("Use")
(LOST,) = blocks("Run a witness")


class Operator:
    """Somebody with a node, who types what the page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.node = LocalNode(folder.name, folder / "data")
        self.key = ""

    def type(self, line: str, **names: str) -> str:
        """Carry out one line. `dnarc serve` starts the node, and the test goes on beside it."""
        line = line.replace(FOLDER, "data")
        if line.startswith("dnarc serve"):
            flags = shlex.split(line)[2:]
            self.node.flags = tuple(names.get(flag, flag) for flag in flags if flag not in ("--data", "data"))
            self.node.start()
            return ""
        works_alone = ("keygen", "--proof", "--offline", "--node", "witness key", "witness begin")
        asks_node = not any(words in line for words in works_alone)
        return carry_out(f"{line} --node {self.node.url}" if asks_node else line, self.folder, **names).strip()


@contextmanager
def operators(folder: Path, count: int) -> Iterator[list[Operator]]:
    with ExitStack() as stack:
        found = [Operator(folder / f"operator-{number}") for number in range(count)]
        for each in found:
            stack.callback(lambda node: node.stop() if hasattr(node, "process") else None, each.node)
        yield found


def link(here: Operator, there: Operator) -> None:
    """One operator dials, and the other accepts."""
    dial, accept = LINK
    here.type(dial.replace("ws://OTHER", there.node.link_url))
    there.type(accept, KEY=here.key)


def test_four_operators_begin_a_domain_and_use_it_by_the_commands_of_the_page(tmp_path: Path) -> None:
    with operators(tmp_path, 4) as everybody:
        for each in everybody:
            each.type(START[0])
            each.node.stop()
            each.key = each.type(START[1])
        keys = {f"KEY{number}": each.key for number, each in enumerate(everybody, 1)}
        first, *others = everybody
        domain = first.type(NAME[0], **keys)
        for each in everybody:
            for line in BEGIN:
                each.type(line, DOMAIN=domain)
        for each in others:
            link(each, first)
        published, shown = (first.type(line, DOMAIN=domain, **keys) for line in PUBLISH)
        claimed, *_, verified, watched = [first.type(line, DOMAIN=domain) for line in USE][1:]

    assert domain == published == f"org.example.{make_policy(list(keys.values()), 1).name}"
    assert "3 of 4 decide, 1 may lie" in shown
    assert claimed.endswith((", final", ", ordered", ", pending"))
    assert "is proven: 3 of 4 witnesses decided each record" in " ".join(verified.split())
    assert "garden" in watched


def test_a_witness_that_lost_its_file_goes_on_from_the_receipt_that_another_node_holds(tmp_path: Path) -> None:
    ask, begin = LOST
    with operators(tmp_path, 2) as (here, there):
        here.type(START[0])
        here.node.stop()
        here.key = here.type(START[1])
        domain = here.type(NAME[0].replace("KEY2 KEY3 KEY4 --faulty 1", ""), KEY1=here.key)
        for line in BEGIN:
            here.type(line, DOMAIN=domain)
        there.type(START[0])
        link(here, there)
        here.type(PUBLISH[0].replace("KEY2 KEY3 KEY4 --faulty 1", ""), KEY1=here.key)
        for line in USE[:2]:
            here.type(line, DOMAIN=domain)
        with here.node.client() as client:
            held = client.get("/node")["domains"][domain]["count"]
        until_same(here.node, there.node, held, domain=domain)
        here.node.stop()
        path_of(here.node.data, domain).unlink()

        told = here.type(ask.replace("http://OTHER", there.node.url), DOMAIN=domain, KEY=here.key)
        here.type(begin, DOMAIN=domain, RECEIPT_ID=_id_of(told))
        here.type(BEGIN[1], DOMAIN=domain)
        claimed = here.type(USE[1].replace("garden", "tower"), DOMAIN=domain)

    assert claimed.endswith(", final")


def _id_of(shown: str) -> str:
    """The id in what `dnarc get` shows of a record."""
    (found,) = re.findall(r"(?m)^record +([0-9a-f]{64})$", shown)
    return str(found)


@pytest.mark.parametrize("number", range(5))
def test_the_table_of_witnesses_is_computed_by_its_rules(number: int) -> None:
    row = [cell.strip() for cell in re.findall(r"(?m)^\| \d.*$", PAGE)[number].strip("|").split("|")]
    n, f, q = map(int, row[:3])
    assert (n >= 3 * f + 1, q, row[3].split()[0], row[4].split()[0]) == (True, (n + f) // 2 + 1, str(n - q), str(f))
