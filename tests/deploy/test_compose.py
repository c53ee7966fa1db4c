"""The compose file of a fleet: it has the form that Docker reads, names only what there is, and holds no secret."""

import json
import re
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]
from msgspec import Meta

from node.node import Node
from node.settings.loading import load
from node.settings.settings import Settings
from tests.deploy.programs import DEPLOY, needs, path_of
from tests.deploy.proxying import balancer
from tests.node.http_api.talking import Answer
from tests.paths import ROOT

TEXT: Final = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")

Duration = Annotated[str, Meta(pattern=r"\A[1-9][0-9]*(s|m|h)\Z")]
Variables = dict[str, str]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A part of github.com/compose-spec/compose-spec: what the file uses, so that no field is misspelled."""


class Build(Strict):
    context: str
    dockerfile: str


class Condition(Strict):
    condition: Annotated[str, Meta(pattern=r"\Aservice_(started|healthy|completed_successfully)\Z")]


class HealthCheck(Strict):
    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int


class Address(Strict):
    ipv4_address: str


class Service(Strict):
    image: str
    build: Build | None = None
    hostname: str | None = None
    restart: str = "no"
    depends_on: dict[str, Condition] = msgspec.field(default_factory=dict)
    secrets: list[str] = msgspec.field(default_factory=list)
    environment: Variables = msgspec.field(default_factory=dict)
    volumes: list[str] = msgspec.field(default_factory=list)
    ports: list[Annotated[str, Meta(pattern=r"\A\d+:\d+\Z")]] = msgspec.field(default_factory=list)
    healthcheck: HealthCheck | None = None
    networks: dict[str, Address] = msgspec.field(default_factory=dict)
    stop_signal: str | None = None
    stop_grace_period: Duration | None = None


class Subnet(Strict):
    subnet: str


class Ipam(Strict):
    config: list[Subnet]


class Network(Strict):
    ipam: Ipam


class File(Strict):
    file: str


class Compose(Strict):
    name: str
    services: dict[str, Service]
    networks: dict[str, Network]
    secrets: dict[str, File]
    volumes: dict[str, None]
    x_node: object = msgspec.field(name="x-node", default=None)


@pytest.fixture
def compose() -> Compose:
    """Making it raises an error if a field is unknown, missing, or of another kind."""
    return msgspec.convert(yaml.safe_load(TEXT), Compose)


def nodes_of(compose: Compose) -> dict[str, Service]:
    return {name: service for name, service in compose.services.items() if service.image == "dnarc"}


@needs("docker-compose")
def test_docker_reads_the_compose_file() -> None:
    command = [path_of("docker-compose"), "--file", str(DEPLOY / "compose.yaml"), "config", "-q"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_everything_that_a_service_names_is_there(compose: Compose) -> None:
    for service in compose.services.values():
        assert set(service.secrets) <= set(compose.secrets)
        assert set(service.depends_on) <= set(compose.services)
        assert set(service.networks) <= set(compose.networks)
        for volume in service.volumes:
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in compose.volumes
        if service.build is not None:
            assert (ROOT / service.build.context / service.build.dockerfile).is_file()
    used = {secret for service in compose.services.values() for secret in service.secrets}
    assert used == set(compose.secrets)


def test_a_writer_to_be_and_two_followers_differ_in_their_names_and_folders_only(compose: Compose) -> None:
    nodes = nodes_of(compose)

    assert list(nodes) == ["node-1", "node-2", "node-3"]
    assert [node.hostname for node in nodes.values()] == list(nodes)
    assert [node.volumes for node in nodes.values()] == [[f"{name}:/var/lib/dnarc"] for name in nodes]
    for node in nodes.values():
        node.hostname, node.volumes = None, []
    assert len({msgspec.json.encode(node) for node in nodes.values()}) == 1


def test_the_variables_of_a_node_are_settings_and_its_secret_is_a_file(compose: Compose, tmp_path: Path) -> None:
    (node, *_) = nodes_of(compose).values()
    file = node.environment.pop("DNARC_CONFIG")
    secret = tmp_path / "dnarc.toml"
    secret.write_text('store = "postgresql://dnarc:abc@database/dnarc"\n')

    settings = load(secret, node.environment, {}).settings

    assert file == f"/run/secrets/{node.secrets[0]}"
    assert settings == Settings(store="postgresql://dnarc:abc@database/dnarc", trusted_proxies=["172.30.53.2/32"])


def test_the_nodes_trust_the_balancer_and_nobody_else(compose: Compose) -> None:
    (node, *_) = nodes_of(compose).values()

    address = compose.services["balancer"].networks["default"].ipv4_address

    assert node.environment["DNARC_TRUSTED_PROXIES"] == f"{address}/32"


def test_the_file_holds_no_secret_and_only_the_balancer_is_reached_from_outside(compose: Compose) -> None:
    variables = {name for service in compose.services.values() for name in service.environment}

    assert [name for name in variables if "PASSWORD" in name] == ["POSTGRES_PASSWORD_FILE"]
    assert not re.search(r"://[^/@\s]*:(?!%s)[^/@\s]*@", TEXT)
    assert [name for name, service in compose.services.items() if service.ports] == ["balancer"]


def test_the_balancer_serves_every_node(compose: Compose) -> None:
    served = re.findall(r"(?m)^\s*reverse_proxy (.*) \{$", (DEPLOY / "fleet.Caddyfile").read_text(encoding="utf-8"))

    assert served == [" ".join(f"{name}:8080" for name in nodes_of(compose))]


@needs("caddy")
async def test_the_balancer_turns_to_another_node_while_one_is_down_and_keeps_a_caller_at_its_node(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        nodes = {}
        for name in ("one", "two", "three"):
            settings = Settings(port=0, data=tmp_path / name)
            node = await stack.enter_async_context(Node(settings))
            nodes[node.key.public] = node
        proxy = stack.enter_context(balancer(tmp_path, [node.url for node in nodes.values()]))
        async with proxy.client("127.0.0.2") as client:
            before = [key_in(await client.get("/node")) for _ in range(3)]
            await nodes[before[0]].__aexit__(None, None, None)
            after = [key_in(await client.get("/node")) for _ in range(3)]

    assert len(set(before)) == len(set(after)) == 1
    assert before[0] != after[0]


def key_in(answer: Answer) -> str:
    assert answer.status == 200
    return str(json.loads(answer.body)["node"])


def test_the_image_has_the_driver_of_the_database() -> None:
    assert '"dnarc[fast,postgresql]"' in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
