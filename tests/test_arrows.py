"""Which module may import which: the structure that `docs/architecture.md` draws, kept true.

`protocol` decides and must stay a pure function of its arguments, so it imports a short list of modules that have no
clock, no chance and no I/O. Inside it, lower never imports higher. `node` carries out what `protocol` decided, and
`simulations` runs both; no arrow points back.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

# From the lowest to the highest. Every module of `protocol` has its place here, a new one before it is written.
PROTOCOL_ORDER = (
    "limits",
    "errors",
    "signing",
    "records.canonical",
    "records.push",
    "records.record",
    "records.replay",
    "records.admission",
    "records.change",
    "records.quota",
    "witness.policy",
    "witness.receipt",
    "witness.testimony",
    "witness.walk",
    "witness.label",
    "witness.voter",
    "witness.proof",
    "sets.varint",
    "sets.index",
    "sets.walk",
    "sets.negentropy",
    "gossip.timing",
    "gossip.missing",
    "gossip.tree_link",
    "gossip.plumtree",
    "gossip.hyparview",
    "link.messages",
    "link.terms",
    "link.orders",
    "link.handshake",
    "link.deadlines",
    "link.recent_ids",
    "link.cursors",
    "link.in_flight",
    "link.send_queues",
    "link.sender",
    "link.receiver",
    "link.reconciliation",
    "link.status",
    "link.comparison",
    "link.passes",
    "link.repair",
    "link.session",
    "link.link",
)

# Package -> the packages of this project that it may import. Those not named here, tests and benchmarks, import all.
ARROWS = {
    "protocol": ("protocol",),
    "node": ("node", "protocol"),
    "simulations": ("simulations", "node", "protocol"),
}
PROJECT = ("protocol", "node", "simulations", "tests", "benchmarks")

# What a pure function can need. `random.Random` is the type of an argument. Absent on purpose, besides all that does
# I/O: `unicodedata`, whose answers change with Python's version, and the parts of PyNaCl that draw random numbers.
PURE = (
    "__future__",
    "abc",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "msgspec",
    "nacl.bindings",
    "nacl.exceptions",
    "operator",
    "random.Random",
    "re",
    "rfc8785",
    "string",
    "struct",
    "types",
    "typing",
)

# Library -> the modules of the program that may import it. SQL stays in the store, so that another store can take its
# place. Only PyNaCl ever decides about a signature: tests alone use another library.
CONFINED = {
    "aiosqlite": ("node.store.sqlite",),
    "cryptography": (),
    "matplotlib": ("simulations",),
    "sqlite3": ("node.store.sqlite", "simulations.world.disk"),
    "typer": ("node.cli", "simulations"),
}


def broken_rules(module: str, source: str) -> list[str]:
    """One sentence for each import in the source that breaks a rule, in the order of the source."""
    return [
        f"{module}:{line}: {fault}"
        for line, name in imported_names(module, source)
        if (fault := fault_of(module, name)) is not None
    ]


def imported_names(module: str, source: str) -> Iterator[tuple[int, str]]:
    """The line and the full dotted name of everything that is imported, inside functions too."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            yield from ((statement.lineno, alias.name) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            origin = origin_of(module, statement)
            yield from ((statement.lineno, f"{origin}.{alias.name}") for alias in statement.names)


def origin_of(module: str, statement: ast.ImportFrom) -> str:
    """The absolute name of the module that a `from` import reads; `..` climbs from the importing module."""
    climbed = module.split(".")[: -statement.level] if statement.level else []
    return ".".join([*climbed, *filter(None, [statement.module])])


def fault_of(module: str, name: str) -> str | None:
    package = module.partition(".")[0]
    if package not in ARROWS:
        return None
    target = name.partition(".")[0]
    if target in PROJECT:
        return fault_of_arrow(module, name, package, target)
    if package == "protocol" and not is_within(name, PURE):
        return f"protocol is pure and may not import {name}"
    if target in CONFINED and not is_within(module, CONFINED[target]):
        return f"{target} is not to be imported here"
    return None


def fault_of_arrow(module: str, name: str, package: str, target: str) -> str | None:
    if target not in ARROWS[package]:
        return f"{package} may not import {target}"
    if package == "protocol" and height(name) >= height(module):
        return f"{module} may import only what is below it, and {name} is not"
    return None


def height(name: str) -> int:
    """The place of a name's module in `protocol`; a package itself, and what has no place, stands above all."""
    within = name.removeprefix("protocol.")
    places = (place for place, part in enumerate(PROTOCOL_ORDER) if is_within(within, (part,)))
    return next(places, len(PROTOCOL_ORDER))


def is_within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def module_name(path: Path) -> str:
    """`node/cli/__init__.py` is `node.cli.__init__`: a relative import in it climbs as far as in its siblings."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


SOURCES = sorted(path for package in ARROWS for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_import_follows_the_arrows(path: Path) -> None:
    faults = broken_rules(module_name(path), path.read_text(encoding="utf-8"))

    assert faults == []


def test_every_module_of_protocol_has_its_place_in_the_order() -> None:
    paths = [path for path in (ROOT / "protocol").rglob("*.py") if path.stem != "__init__"]
    modules = {module_name(path).removeprefix("protocol.") for path in paths}

    assert modules, "the checkout has a protocol package"
    assert modules - set(PROTOCOL_ORDER) == set()


BROKEN = [
    ("protocol.records.record", "import asyncio", "protocol is pure and may not import asyncio"),
    ("protocol.records.record", "import time as clock", "protocol is pure and may not import time"),
    ("protocol.records.record", "import os.path", "protocol is pure and may not import os.path"),
    ("protocol.records.record", "from pathlib import Path", "protocol is pure and may not import pathlib.Path"),
    ("protocol.records.record", "import random", "protocol is pure and may not import random"),
    ("protocol.records.record", "from random import choice", "protocol is pure and may not import random.choice"),
    ("protocol.records.record", "import nacl.utils", "protocol is pure and may not import nacl.utils"),
    ("protocol.records.record", "import jsonschema_rs", "protocol is pure and may not import jsonschema_rs"),
    ("protocol.records.record", "import node.store", "protocol may not import node"),
    (
        "protocol.records.record",
        "from protocol.records.replay import replay",
        "protocol.records.record may import only what is below it, and protocol.records.replay.replay is not",
    ),
    (
        "protocol.records.record",
        "from .replay import replay",
        "protocol.records.record may import only what is below it, and protocol.records.replay.replay is not",
    ),
    (
        "protocol.records.record",
        "from protocol.records import Record",
        "protocol.records.record may import only what is below it, and protocol.records.Record is not",
    ),
    (
        "protocol.records.record",
        "from . import record",
        "protocol.records.record may import only what is below it, and protocol.records.record is not",
    ),
    ("node.intake.ingest", "from simulations.world.network import Network", "node may not import simulations"),
    ("node.intake.ingest", "import tests.builders", "node may not import tests"),
    ("node.http_api", "import sqlite3", "sqlite3 is not to be imported here"),
    ("node.store.sqlite_of_another", "import sqlite3", "sqlite3 is not to be imported here"),
    ("node.intake.ingest", "from cryptography import x509", "cryptography is not to be imported here"),
    ("simulations.swarm.draw", "import benchmarks.ingest", "simulations may not import benchmarks"),
]


@pytest.mark.parametrize(("module", "source", "fault"), BROKEN)
def test_an_import_against_the_arrows_is_found(module: str, source: str, fault: str) -> None:
    inside_a_function = f'"""A module."""\n\n\ndef work():\n    {source}\n'

    faults = broken_rules(module, inside_a_function)

    assert faults == [f"{module}:5: {fault}"]


FOLLOWING = [
    ("protocol.records.replay", "from protocol.records.record import Record"),
    ("protocol.records.replay", "from . import canonical, record"),
    ("protocol.gossip.plumtree", "from random import Random"),
    ("protocol.records.canonical", "from collections.abc import Iterator"),
    ("protocol.signing", "import nacl.bindings"),
    ("node.intake.ingest", "from protocol.records.replay import replay"),
    ("node.intake.ingest", "import asyncio, random, time"),
    ("node.cli.serve", "from ..node import Node"),
    ("node.cli.__init__", "from .serve import app"),
    ("node.store.sqlite", "import aiosqlite, sqlite3"),
    ("node.store.sqlite.schema", "import sqlite3"),
    ("simulations.cast.cluster", "from node.node import Node"),
    ("tests.protocol.test_record", "import cryptography, random, simulations.cast.cluster"),
]


@pytest.mark.parametrize(("module", "source"), FOLLOWING)
def test_an_import_along_the_arrows_is_allowed(module: str, source: str) -> None:
    assert broken_rules(module, source) == []
