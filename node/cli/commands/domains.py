"""`dnarc domains`: show the domains that a node keeps, and how many records each has."""

import time

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.clocks import warn_of_clock
from node.cli.output.screen import show, table
from node.cli.output.text import moment


def domains(node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False) -> None:
    """Show the domains of a node and how many records each has. JSON: {domain: {count, fingerprint, newest}}.

    Two nodes hold the same records of a domain if they show the same fingerprint.
    """
    with connect(node, tls_ca) as client:
        asked_s = time.time()
        answer = client.get_node()
    warn_of_clock(client.url, answer.time, asked_s)
    rows = [(name, held.count, moment(held.newest), held.fingerprint) for name, held in answer.domains.items()]
    show(answer.domains, as_json, lambda: table(["~domain", "#records", "newest", "~fingerprint"], rows))
