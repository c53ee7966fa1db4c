"""Real proxies in front of real nodes, with the files of deploy/ as they are but for addresses and certificates."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from tests.deploy.programs import DEPLOY, path_of
from tests.node.authority import Authority
from tests.node.http_api.talking import Client
from tests.ports import lasting_port

WAIT_S_MAX: Final = 120.0

_CADDY_OPTIONS: Final = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"


class Proxy:
    """A proxy that serves a node at `url`, and under a path at `prefixed_url`, with a certificate of `authority`."""

    def __init__(self, folder: Path, node_url: str) -> None:
        self.folder = folder
        self.node_address = node_url.removeprefix("http://")
        self.authority = Authority(folder)
        self.port = lasting_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.prefixed_url = f"{self.url}/dnarc"

    def client(self, source: str, url: str = "") -> Client:
        """A client of the proxy that sends from this address of loopback."""
        return Client(url or self.url, self.connector(source))

    def connector(self, source: str) -> aiohttp.TCPConnector:
        context = ssl.create_default_context(cafile=self.authority.ca)
        return aiohttp.TCPConnector(local_addr=(source, 0), ssl=context)


@contextmanager
def nginx(folder: Path, node_url: str) -> Iterator[Proxy]:
    proxy = Proxy(folder, node_url)
    config = folder / "nginx.conf"
    config.write_text(_nginx_config(proxy), encoding="utf-8")
    command = [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=WAIT_S_MAX, check=False)
    assert (checked.returncode, "[warn]" in checked.stderr) == (0, False), checked.stderr
    with _serving(command, "start worker process"):
        yield proxy


def _nginx_config(proxy: Proxy) -> str:
    """A whole configuration: `deploy/nginx.conf` stands in the `http` block of the system's own."""
    site = _replaced(
        (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
        {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "listen 80;": f"listen 127.0.0.1:{lasting_port()};",
            "listen 443 ssl;": f"listen 127.0.0.1:{proxy.port} ssl;",
            "127.0.0.1:8080": proxy.node_address,
            "/etc/ssl/dnarc/chain.pem": str(proxy.authority.chain),
            "/etc/ssl/dnarc/key.pem": str(proxy.authority.key),
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {proxy.folder}/{kind};" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folder of a test belongs to who runs it
    return (
        f"{user}daemon off;\npid {proxy.folder}/pid;\nerror_log stderr notice;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}\n{site}}}\n"
    )


@contextmanager
def caddy(folder: Path, node_url: str) -> Iterator[Proxy]:
    proxy = Proxy(folder, node_url)
    config = folder / "Caddyfile"
    config.write_text(_caddy_config(proxy), encoding="utf-8")
    with _serving(
        [path_of("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"], "serving initial", folder
    ):
        yield proxy


def _caddy_config(proxy: Proxy) -> str:
    return _CADDY_OPTIONS + _replaced(
        (DEPLOY / "Caddyfile").read_text(encoding="utf-8"),
        {
            "dnarc.example {": f"{proxy.url} {{\n\ttls {proxy.authority.chain} {proxy.authority.key}",
            "127.0.0.1:8080": proxy.node_address,
        },
    )


@contextmanager
def balancer(folder: Path, node_urls: list[str]) -> Iterator[Proxy]:
    """Caddy in front of these nodes, with the file for a fleet."""
    proxy = Proxy(folder, "")
    text = _replaced(
        (DEPLOY / "fleet.Caddyfile").read_text(encoding="utf-8"),
        {
            "{$DNARC_SITE:localhost} {": f"{proxy.url} {{\n\ttls {proxy.authority.chain} {proxy.authority.key}",
            "node-1:8080 node-2:8080 node-3:8080": " ".join(url.removeprefix("http://") for url in node_urls),
        },
    )
    config = folder / "Caddyfile"
    config.write_text(_CADDY_OPTIONS + text, encoding="utf-8")
    with _serving(
        [path_of("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"], "serving initial", folder
    ):
        yield proxy


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def _serving(command: list[str], sign: str, home: Path | None = None) -> Iterator[None]:
    """Run a proxy, wait for the line of its log that holds `sign`, and end the proxy when the block ends.

    `home` is where it may keep files of its own.
    """
    folders = {} if home is None else {name: str(home) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | folders)
    assert process.stderr is not None
    try:
        said: list[str] = []
        while not said or sign not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], "".join(said)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_S_MAX)
