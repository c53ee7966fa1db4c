"""What a long listing costs in memory: `python -m benchmarks.listing [--claims N] [--versions N] [--json]`.

A node is filled, stopped and started again, so that memory left over from filling it hides nothing. Then this process
reads `GET /claims` to its end, once as a JSON object and once as lines, and the history of a label with many records,
while it watches the resident memory of the node's process. Aim: the memory grows by less than 30 MB, however many
claims there are. Otherwise the exit code is 1.
"""

import http.client
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psutil

from benchmarks.common import report
from node.client.targets import path_of
from node.http_api.requests.accept import JSON_TYPE, LINES_TYPE
from simulations.processes.process import LocalNode, running

GROWTH_MB_MAX = 30.0
LABEL = "diary"
CHUNK_BYTES = 2**18


def listing(node: LocalNode, path: str, accept: str) -> dict[str, float]:
    """Read a whole listing. Returns the most that the node's memory grew, how much it sent, and how long that took."""
    parts = urlsplit(node.url)
    process = psutil.Process(node.process.pid)
    before_bytes = most_bytes = process.memory_info().rss
    sent_bytes = records = 0
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    while chunk := response.read(CHUNK_BYTES):
        sent_bytes += len(chunk)
        records += chunk.count(b'"signedby":')
        most_bytes = max(most_bytes, process.memory_info().rss)
    seconds = time.perf_counter() - begun
    connection.close()
    return {
        "growth_mb": (most_bytes - before_bytes) / 1e6,
        "sent_mb": sent_bytes / 1e6,
        "seconds": seconds,
        "records_seen": records,
    }


def measure(claims: int, versions: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        data = Path(folder) / "node"
        with running("node", data) as node:
            report.put_all(node.client(), report.make_claims(claims - 1))
            report.put_all(node.client(), report.make_history(LABEL, versions))
        with running("node", data) as node:
            assert node.client().get("/health")["status"] == "ok"
            for form, path, accept, count in (
                ("dict", "/claims", JSON_TYPE, claims),
                ("lines", "/claims", LINES_TYPE, claims),
                ("history", path_of("claims", report.DOMAIN, LABEL, "history"), JSON_TYPE, versions),
            ):
                found = listing(node, path, accept)
                # The end of a chunk may cut the word that is counted. If more than that is missing, claims are missing.
                assert found.pop("records_seen") > 0.99 * count, f"all {count} claims are listed"
                figures |= {f"{form}_{name}": value for name, value in found.items()}
            figures["resident_mb_after"] = psutil.Process(node.process.pid).memory_info().rss / 1e6
    return figures


def main() -> int:
    options = report.options(
        __doc__, claims=(200_000, "claims to list"), versions=(100_000, "records of one label, its history")
    )
    figures = measure(options.claims, options.versions)
    title = f"GET /claims over {options.claims:,} claims, and a history of {options.versions:,}"
    report.show(title, figures, options.json)
    return int(max(value for name, value in figures.items() if name.endswith("growth_mb")) >= GROWTH_MB_MAX)


if __name__ == "__main__":
    sys.exit(main())
