"""Witnessed domains: whether this node speaks as a witness, and whether the witnesses of its domains are honest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from node.checkup.finding import Finding, fail, ok, warn
from node.client.figures import Figures
from node.faults import of_file
from node.witness.newest import UnreadableError, parse_begun, path_of
from node.witness.own import Silence

_LOST: Final = "believe no head of the domain, and choose other witnesses, which is another domain"
_FORKED: Final = (
    "it lies, was restored from a copy, or two nodes run with its key: as many as the policy allows do no harm"
)
_UNHEARD: Final = "start this witness, or mend the links between it and the others"


def witnessed_by(figures: Figures) -> list[str]:
    """The domains that the running node witnesses."""
    return list(figures.by("domain", "dnarc_witness_silent"))


def check_figures(figures: Figures) -> Iterator[Finding]:
    """Check what the running node shows of the domains that it watches."""
    for domain in figures.by("domain", "dnarc_undecided_records"):
        yield from _check_own(domain, figures.by("reason", "dnarc_witness_silent", domain=domain))
        yield from _check_honest(domain, figures)
        unheard = figures.by("witness", "dnarc_witness_unheard", domain=domain)
        for witness in (each for each, is_so in unheard.items() if is_so):
            yield warn("witness.heard", f"{witness} says nothing about a record of {domain} that waits", _UNHEARD)
        if unheard and not any(unheard.values()):
            yield ok("witness.heard", f"no record of {domain} waits for a witness")


def _check_own(domain: str, reasons: dict[str, float]) -> Iterator[Finding]:
    silences = [silence for silence in Silence if reasons.get(silence.reason)]
    for silence in silences:
        yield fail("witness.speaks", f"this node is silent as a witness of {domain}: {silence}", silence.remedy)
    if reasons and not silences:
        yield ok("witness.speaks", f"this node witnesses {domain}")


def _check_honest(domain: str, figures: Figures) -> Iterator[Finding]:
    doubly_decided = figures.value("dnarc_doubly_decided_slots", domain=domain) or 0
    if doubly_decided:
        detail = f"two records are decided in {doubly_decided:.0f} places of {domain}: too many witnesses lied"
        yield fail("witness.decided", detail, _LOST)
    forks = figures.by("witness", "dnarc_witness_forks", domain=domain)
    for witness in (each for each, number in forks.items() if number):
        detail = f"{witness} of {domain} contradicts itself: two receipts in one place, or two ballots in one round"
        yield warn("witness.honest", detail, _FORKED)
    if forks and not any(forks.values()):
        yield ok("witness.honest", f"no witness of {domain} contradicts itself")


def check_files(data: Path, domains: Iterable[str], key: str) -> Iterator[Finding]:
    """Check the files of the newest receipts of a node that witnesses these `domains`. `key` is that of the node."""
    for domain in domains:
        path = path_of(data, domain)
        try:
            yield _check_file(path, domain, key)
        except OSError as error:
            fault = of_file(error, path)
            yield fail("witness.file", f"{path}: {fault.reason}", fault.remedy)


def _check_file(path: Path, domain: str, key: str) -> Finding:
    if not path.exists():
        detail = f"{path} is missing, so the node is silent as a witness of {domain}"
        return fail("witness.file", detail, Silence.NOT_BEGUN.remedy)
    try:
        begun = parse_begun(path.read_bytes())
    except UnreadableError as error:
        detail = f"{path} is damaged ({error}), so the node is silent as a witness of {domain}"
        return fail("witness.file", detail, f"move it away, and then: {Silence.UNREADABLE.remedy}")
    if begun.receipt is not None and begun.receipt.record.signedby != key:
        detail = f"{path} holds a receipt of another key, so it was copied from another node"
        return fail("witness.file", detail, f"delete it; this key witnessed the domain? {Silence.NOT_BEGUN.remedy}")
    return ok("witness.file", f"the newest receipt of {domain} is {begun.newest or 'the first one still to come'}")
