"""Which module may import which: these tests keep the structure that `docs/architecture.md` draws.

`protocol` decides and must stay a pure function of its arguments, so it imports only a short list of modules that have
no clock, no chance and no I/O. `node` carries out the decisions of `protocol`, and `simulations` runs both. No arrow
points back. Inside each of the three, a lower part never imports a higher one, not even for a type. In the whole tree
no modules import each other in a circle.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

# From the lowest to the highest. Every module of `protocol` has its place here; a new module gets one first.
PROTOCOL_ORDER = (
    "limits",
    "errors",
    "steps",
    "signing",
    "records.canonical",
    "records.push",
    "records.record",
    "records.skeleton",
    "records.named_keys",
    "records.replay",
    "records.outcome",
    "records.admission",
    "records.write_policy",
    "records.change",
    "records.timeline",
    "records.quota",
    "witness.policy",
    "witness.receipt",
    "witness.testimony",
    "witness.walk",
    "witness.slot",
    "witness.voter",
    "witness.change",
    "witness.label",
    "witness.recall",
    "witness.proof",
    "witness.chains",
    "witness.shown",
    "witness.domain",
    "witness.admission",
    "sets.varint",
    "sets.index",
    "sets.erased",
    "sets.paging",
    "sets.negentropy_message",
    "sets.negentropy",
    "gossip.timing",
    "gossip.missing",
    "gossip.tree_link",
    "gossip.plumtree",
    "gossip.hyparview",
    "link.messages",
    "link.terms",
    "link.features",
    "link.orders",
    "link.listing",
    "link.copies",
    "link.handshake",
    "link.deadlines",
    "link.per_minute",
    "link.recent_ids",
    "link.course",
    "link.cursors",
    "link.in_flight",
    "link.send_queues",
    "link.sender",
    "link.receiver",
    "link.status",
    "link.comparison",
    "link.passes",
    "link.reconciliation",
    "link.repair",
    "link.session",
    "link.link",
)

# The rooms of a package from the lowest to the highest: modules and packages, by the longest name that fits. Modules of
# one room may import each other. A module that a lower room needs stands outside of its own room, at its own place.
NODE_ORDER = (
    "version",
    "passwords",
    "console.visible_text",
    "durable_files",
    "faults",
    "settings",
    "fairness",
    "tls",
    "listening",
    "console",
    "tasks",
    "store.outage",
    "store.removals",
    "store.contract",
    "store",
    "disk",
    "backup",
    "indexes",
    "removal",
    "move",
    "rebuild_database",
    "heads",
    "peers",
    "exact_decoding",
    "verification",
    "world",
    "metrics",
    "clocks",
    "convergence",
    "peer_state",
    "duplicate_keys",
    "write_plugin",
    "intake",
    "witness",
    "streams",
    "fleet",
    "http_sync",
    "links",
    "monitoring",
    "http_api.requests",
    "http_api.answers",
    "http_api.handlers",
    "http_api",
    "explorer",
    "client",
    "checkup",
    "node",
    "cli.output",
    "cli.input",
    "cli.data_folder",
    "cli.run_node",
    "cli.commands",
    "cli",
)

SIMULATIONS_ORDER = (
    "world",
    "cast",
    "judges",
    "cluster",
    "run_result",
    "swarm",
    "scenarios",
    "broadcast",
    "processes",
    "report",
    "commands",
    "cli",
)

ROOMS = {"node": NODE_ORDER, "simulations": SIMULATIONS_ORDER}

# `Node` hands its parts to each other. A part that imported `Node` could fetch any other part by itself.
NODE = "node.node"
MAY_IMPORT_NODE = ("node.__init__", "node.cli.run_node")

# Package -> the packages of this project that it may import. Tests and benchmarks may import all.
ARROWS = {
    "protocol": ("protocol",),
    "node": ("node", "protocol"),
    "simulations": ("simulations", "node", "protocol"),
}
PROJECT = ("protocol", "node", "simulations", "tests", "benchmarks")

# What a pure function can need. `random.Random` is the type of an argument. `unicodedata` is absent because its answers
# change with Python's version. The parts of PyNaCl that draw random numbers are absent too.
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

# Library -> the modules of the program that may import it. SQL stays in the store, so that another store can replace
# it. Only PyNaCl decides about a signature, so the other library for signatures is left to the tests.
CONFINED = {
    "aiosqlite": ("node.store.sqlite",),
    "asyncpg": ("node.store.postgresql",),
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
    if package == target and package in ROOMS:
        return fault_of_rooms(module, name)
    return None


def fault_of_rooms(module: str, name: str) -> str | None:
    if is_within(name, (NODE,)) and is_within(module, ("node",)):
        return None if module in MAY_IMPORT_NODE else f"{module} may not import {NODE}"
    if room(name) > room(module):
        return f"{module} may import only its own room and what is below it, and {name} is above"
    return None


def height(name: str) -> int:
    """The place of a name's module in `protocol`. A package itself, and a module without a place, stands above all."""
    within = name.removeprefix("protocol.")
    places = (place for place, part in enumerate(PROTOCOL_ORDER) if is_within(within, (part,)))
    return next(places, len(PROTOCOL_ORDER))


def room(name: str) -> int:
    """The place of a name's room in its package. The package itself, and a module without a place, stands above all."""
    package, _, within = name.partition(".")
    order = ROOMS[package]
    fitting = [part for part in order if is_within(within, (part,))]
    return order.index(max(fitting, key=len)) if fitting else len(order)


def imports_of_tree(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Module -> the modules among these files that it imports. A package goes by its own name."""
    modules = {module_name(path).removesuffix(".__init__"): path for path in paths}
    return {
        module: {
            target
            for _, name in imported_names(module_name(path), path.read_text(encoding="utf-8"))
            if (target := name if name in modules else name.rpartition(".")[0]) in modules and target != module
        }
        for module, path in modules.items()
    }


def find_circle(imports: Mapping[str, Collection[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end. Empty if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


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


@pytest.mark.parametrize("package", ROOMS)
def test_every_module_has_its_place_in_the_order_of_its_package(package: str) -> None:
    modules = [module_name(path) for path in (ROOT / package).rglob("*.py")]

    assert [module for module in modules if room(module) == len(ROOMS[package])] == [f"{package}.__init__"]


@pytest.mark.parametrize("package", ROOMS)
def test_every_place_in_the_order_of_a_package_is_taken(package: str) -> None:
    modules = [module_name(path) for path in (ROOT / package).rglob("*.py")]

    assert {room(module) for module in modules} == set(range(len(ROOMS[package]) + 1))


@pytest.mark.parametrize("package", ARROWS)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    """Packages import each other one way only, so a circle would lie inside one of them."""
    paths = (ROOT / package).rglob("*.py")

    circle = find_circle(imports_of_tree(paths))

    assert circle == []


def test_a_circle_of_imports_is_found() -> None:
    imports = {"node.a": {"node.b"}, "node.b": {"node.c"}, "node.c": {"node.a"}}

    circle = find_circle(imports)

    assert circle[0] == circle[-1]
    assert set(circle) == {"node.a", "node.b", "node.c"}


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
    (
        "node.streams.hub",
        "from node.http_api.requests.parts import ApiParts",
        (
            "node.streams.hub may import only its own room and what is below it, "
            "and node.http_api.requests.parts.ApiParts is above"
        ),
    ),
    (
        "node.settings",
        "import node.peers",
        "node.settings may import only its own room and what is below it, and node.peers is above",
    ),
    ("node.links.redialler", "from node.node import Node", "node.links.redialler may not import node.node"),
    ("node.cli.commands.top", "import node.node", "node.cli.commands.top may not import node.node"),
    ("node.http_api", "import sqlite3", "sqlite3 is not to be imported here"),
    ("node.store.sqlite_of_another", "import sqlite3", "sqlite3 is not to be imported here"),
    ("node.intake.ingest", "from cryptography import x509", "cryptography is not to be imported here"),
    ("simulations.swarm.draw", "import benchmarks.ingest", "simulations may not import benchmarks"),
    (
        "simulations.cast.user",
        "import simulations.cluster",
        "simulations.cast.user may import only its own room and what is below it, and simulations.cluster is above",
    ),
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
    ("node.cli.run_node", "from ..node import Node"),
    ("node.http_api.requests.parts", "from node.metrics import Traffic"),
    ("node.links.redialler", "from node.links.running_link import RunningLink"),
    ("node.cli.__init__", "from .serve import app"),
    ("node.store.sqlite", "import aiosqlite, sqlite3"),
    ("node.store.sqlite.schema", "import sqlite3"),
    ("simulations.cluster", "from node.node import Node"),
    ("tests.protocol.test_record", "import cryptography, random, simulations.cluster"),
]


@pytest.mark.parametrize(("module", "source"), FOLLOWING)
def test_an_import_along_the_arrows_is_allowed(module: str, source: str) -> None:
    assert broken_rules(module, source) == []
