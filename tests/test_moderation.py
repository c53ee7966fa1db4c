"""The page about moderation: its commands are carried out as they stand."""

import re
from pathlib import Path

import pytest

from simulations.processes.process import running
from tests.paths import ROOT
from tests.test_operations import carry_out, claim, labels

PAGE = (ROOT / "docs" / "moderation.md").read_text(encoding="utf-8")


def steps(heading: str) -> list[str]:
    """The commands for a shell in a section, in order. They stand below numbers, so they are indented."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"(?m)^( *)```sh\n((?:.*\n)*?)\1```", section)
    return [re.sub(rf"(?m)^{indent}", "", block) for indent, block in found]


def test_ban_a_key(tmp_path: Path) -> None:
    find, ban, look = steps("Ban a key")
    config = tmp_path / "dnarc.toml"
    config.write_text("", encoding="utf-8")
    with running("one", tmp_path / "DIR", "--config", str(config)) as node:
        claim(node, "casino", tmp_path)
        carry_out(find, tmp_path, URL=node.url)
        with node.client() as client:
            [key] = {record["signedby"] for record in client.get("/claims").values()}

    carry_out(ban, tmp_path, KEY=key)
    carry_out(look, tmp_path, KEY=key)

    with running("one", tmp_path / "DIR", "--config", str(config)) as node:
        with pytest.raises(AssertionError, match="dnarc: not_welcome: this node takes no records of the key"):
            claim(node, "poker", tmp_path)
        after = labels(node)
    assert after == ["casino"]


def holds(folder: Path, text: str) -> bool:
    """Whether any file of the folder holds this text."""
    return any(text.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_take_one_label_down(tmp_path: Path) -> None:
    count, erase, get, look = steps("Take one label down")
    with running("one", tmp_path / "DIR") as node:
        claim(node, "casino", tmp_path)
        claim(node, "chess", tmp_path)
        names = {"URL": node.url, "DIR": str(node.data)}
        carry_out(count, tmp_path, **names)
        assert sorted(labels(node)) == ["casino", "chess"]
        carry_out(erase, tmp_path, **names)
        with pytest.raises(AssertionError, match=r"erased: .*court order 4711"):
            carry_out(get, tmp_path, **names)
        carry_out(look, tmp_path, **names)
        after = labels(node)
    assert after == ["chess"]


def test_empty_a_domain(tmp_path: Path) -> None:
    count, drop, undo = steps("Empty a domain")
    with running("one", tmp_path / "DIR") as node:
        claim(node, "casino", tmp_path)
        names = {"URL": node.url, "DIR": str(node.data)}
        carry_out(count, tmp_path, **names)
        carry_out(drop, tmp_path, **names)
        with pytest.raises(AssertionError, match="unknown_domain"):
            claim(node, "poker", tmp_path)

    with running("one", tmp_path / "DIR") as node:
        assert not holds(node.data, "casino")
        carry_out(undo, tmp_path, URL=node.url, DIR=str(node.data))
        claim(node, "chess", tmp_path)
        after = labels(node)
    assert after == ["chess"]


def test_find_out_who_fills_the_disk(tmp_path: Path) -> None:
    by_domain, by_key, look, bound = steps("Find out who fills the disk")
    config = tmp_path / "dnarc.toml"
    config.write_text("[write]\nrecord_bytes_max = 4096\n", encoding="utf-8")
    with running("one", tmp_path / "DIR", "--config", str(config)) as node:
        claim(node, "casino", tmp_path)
        carry_out(by_domain, tmp_path, URL=node.url)
        carry_out(by_key, tmp_path, URL=node.url, DOMAIN="example.org")
        with node.client() as client:
            [largest] = client.get("/usage")["keys"]
        carry_out(look, tmp_path, URL=node.url, KEY=largest["key"])

    carry_out(bound.replace("10000000", str(largest["bytes"] + 1)), tmp_path)

    with running("one", tmp_path / "DIR", "--config", str(config)) as node:
        with pytest.raises(AssertionError, match="dnarc: quota_exceeded: this node keeps at most"):
            claim(node, "poker", tmp_path)
        after = labels(node)
    assert after == ["casino"]
