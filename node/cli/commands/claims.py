"""Claims: write one, offer a label to another key, and accept an offer.

Each command asks the node for the label's head, verifies its signature, names the head in `prev`, and takes a timestamp
above the head's. So the record says "after exactly this head". If somebody else wrote in between, the node refuses the
record as `stale`, and nothing is lost.
"""

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from node.cli.commands.keys import open_key
from node.cli.input.content import FieldChange, find_changes, merge, parse_pairs, read_object
from node.cli.input.heads import content_of, find_head
from node.cli.input.options import DEFAULT_KEY, DEFAULT_NODE, AsJson, Authority, Domain, Key, Label, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit, usage
from node.client.content import Content, claim_of

if TYPE_CHECKING:
    from node.client.conversation import Pause
    from node.client.http import NodeClient
    from node.client.keyfile import OpenedKey
    from protocol.records.record import SignedRecord

CHANGES_SHOWN_MAX: Final = 20
VALUE_CHARACTERS_MAX: Final = 60
"""A longer value is cut where changes are shown to people. JSON has it whole."""

Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0.0,
        metavar="SECONDS",
        help="Wait at most this long: if the record is too new for the node, and for the witnesses of the domain.",
    ),
]
WAIT_S: Final = 60.0

Draft = Callable[["SignedRecord | None", str], Content]
"""Gives the content of the next record from the head and the public key that signs: the claim, and an offer if any."""


class ClaimSession(msgspec.Struct, frozen=True):
    """What the three commands share: the node, the key, how long to wait in seconds, and the form of the answer.

    `is_whole`: the claim replaces the claim before it, so that fields may go unnoticed.
    """

    client: "NodeClient"
    key_file: Path
    wait_s: float
    as_json: bool
    is_whole: bool = False


def claim(
    context: typer.Context,
    domain: Domain,
    label: Label,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="The claim. A VALUE that is JSON is read as JSON, else as text."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="The claim as a JSON object in a file; - is stdin.")
    ] = None,
    is_merge: Annotated[
        bool, typer.Option("--merge", help="Keep the fields that you do not name. KEY=null removes a field.")
    ] = False,
    wait: Wait = WAIT_S,
    key: Key = DEFAULT_KEY,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
) -> None:
    """Write a claim: found a label, or update a label that you own.

    A claim replaces the whole claim before it: fields that you do not name
    are removed, and an offer is withdrawn. With --merge they stay (RFC 7396:
    objects merge field by field, lists are replaced, null removes a field).
    The command says on stderr what changed.

    n=42 is a number, n='"42"' is text, tags='["a","b"]' is a list. For JSON
    as the answer: dnarc --json claim ...
    """
    if (file is None) == (not pairs):
        raise usage("a claim is either KEY=VALUE pairs or --json FILE")
    content = parse_pairs(pairs) if pairs else read_object(file or "-")

    def draft(head: "SignedRecord | None", signer: str) -> Content:
        if not is_merge:
            return content
        before = {} if head is None else claim_of(head.record.canonical)
        return merge(before, content) | _keep_offer(head, signer)

    session = ClaimSession(connect(node, tls_ca), key, wait, context.find_root().obj is True, not is_merge)
    _publish(session, domain, label, draft)


def transfer(
    domain: Domain,
    label: Label,
    newowner: Annotated[
        str, typer.Argument(metavar="NEWOWNER", help="A public key, 64 hex digits.", show_default=False)
    ],
    wait: Wait = WAIT_S,
    key: Key = DEFAULT_KEY,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Offer a label to another key. It stays yours until that key accepts.

    The claim itself stays as it is. An offer to your own key withdraws the
    offer before it.
    """
    from protocol.signing import is_key

    if not is_key(newowner):
        named = newowner if len(newowner) < 64 else "this"  # a longer text may be a secret that was pasted by mistake
        raise usage(f"{named} is no public key: 64 lower-case hex digits, as `dnarc keygen` shows")

    def draft(head: "SignedRecord | None", _signer: str) -> Content:
        return claim_of(_require(head, domain, label).record.canonical) | {"newowner": newowner}

    _publish(ClaimSession(connect(node, tls_ca), key, wait, as_json), domain, label, draft)


def accept(
    domain: Domain,
    label: Label,
    wait: Wait = WAIT_S,
    key: Key = DEFAULT_KEY,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Accept a label that is offered to your key. The label is yours from then on. The claim itself stays as it is."""

    def draft(head: "SignedRecord | None", signer: str) -> Content:
        offer = _require(head, domain, label).record
        if offer.newowner != signer:
            raise CommandError(Exit.REFUSED, "not_owner", f"{label} is not offered to this key, {signer}")
        return claim_of(offer.canonical)

    _publish(ClaimSession(connect(node, tls_ca), key, wait, as_json), domain, label, draft)


def _publish(session: ClaimSession, domain: str, label: str, draft: Draft) -> None:
    """Sign the record that follows the head, hand it to the node, and say what changed."""
    from node.client.publishing import put_in_time, sign_next

    _warn_of_spelling(domain, label)
    opened = open_key(session.key_file)
    with session.client as client:
        head = find_head(client, domain, label)
        fields = draft(head, opened.key.public) | {"domain": domain, "label": label}
        _refuse_secrets(client, opened, fields)
        now = int(time.time())
        signed = sign_next(head, opened.key, fields, now)
        outcome = client.converse(put_in_time(signed, session.wait_s), _tell_wait).fields
    changes = [] if head is None else list(find_changes(content_of(head), content_of(signed)))
    _tell(outcome, signed, None if head is None else changes, signed.record.timestamp - now, session.as_json)
    if outcome.get("status") != "refused" and head is not None and not session.as_json:
        _tell_changes(changes)
        if session.is_whole:
            _warn_of_losses(changes, signed.record.signedby)


def _keep_offer(head: "SignedRecord | None", signer: str) -> Content:
    """The offer of the head, unless the signer accepts it by this very record."""
    newowner = None if head is None else head.record.newowner
    return {} if newowner in (None, signer) else {"newowner": newowner}


def _refuse_secrets(client: "NodeClient", opened: "OpenedKey", fields: Content) -> None:
    """Raises: CommandError: a secret stands in the record. Records are public and are never deleted."""
    from node.client.leaks import Secrets, find_leak, has_possible_seed

    token = os.environ.get("DNARC_ADMIN_TOKEN", "").strip()
    texts = tuple(text for text in (opened.box, token) if text)
    public_keys = {opened.key.public} | ({client.get_node().node} if has_possible_seed(fields) else set())
    leak = find_leak(fields, Secrets(opened.key.seed, texts, frozenset(public_keys)))
    if leak is not None:
        detail = f"nothing was sent, because the record holds a secret: {leak.what}, in {leak.where}"
        raise CommandError(Exit.USAGE, "secret", detail, "take it out: records are public, and nobody can delete them")


def _tell(
    outcome: dict[str, Any], signed: "SignedRecord", changes: Sequence[FieldChange] | None, ahead_s: int, as_json: bool
) -> None:
    """Answer on stdout. `changes` is None if the record founds its label.

    `ahead_s`: how far the record was ahead of this machine's clock when it was signed. The clock has gone on since.
    """
    from node.cli.output.screen import show, warn
    from node.cli.output.text import plain

    record = signed.record
    is_refused = outcome.get("status") == "refused"
    if as_json:
        beside = {} if is_refused or changes is None else {"changes": changes}
        show({signed.signature: outcome | beside}, True, lambda: plain(""))
    if is_refused:
        code = str(outcome.get("code"))
        raise CommandError(Exit.REFUSED, code, str(outcome.get("detail")), _find_remedy(code, ahead_s))
    if not as_json:
        words = f"{outcome.get('verdict', outcome.get('status'))}: {record.domain} {record.label}, record {record.id}"
        words += {"final": ", final", "ordered": ", not final yet"}.get(str(outcome.get("certainty")), "")
        show(None, False, lambda: plain(words))
        if outcome.get("verdict") == "pending":
            warn("the witnesses have not decided yet; `dnarc witness show DOMAIN` says which of them the node hears")


def _find_remedy(code: str, ahead_s: int) -> str | None:
    """What helps against this refusal, if this side knows better than the code alone."""
    if code != "too_new" or ahead_s <= 0:
        return None
    return (
        f"the head of the label is dated {ahead_s} s ahead of this machine's clock, because its owner wrote more than"
        " one record a second, or has a wrong clock: run the command again later, or wait longer with --wait"
    )


def _tell_wait(pause: "Pause") -> None:
    from node.cli.output.screen import warn

    warn(f"the record is {pause.seconds:.0f} s too new for the node, as records of a label have whole seconds: waiting")


def _tell_changes(changes: Sequence[FieldChange]) -> None:
    """Say on stderr what the new record changed in the claim."""
    from node.console.visible_text import safe

    fields = [change for change in changes if change.path != "/newowner"]
    if not changes:
        print("dnarc: nothing changed: the claim says what it said before", file=sys.stderr)
    for change in fields[:CHANGES_SHOWN_MAX]:
        print(safe(f"dnarc: {_describe(change)}"), file=sys.stderr)
    if len(fields) > CHANGES_SHOWN_MAX:
        print(f"dnarc: and {len(fields) - CHANGES_SHOWN_MAX} further changes", file=sys.stderr)


def _warn_of_losses(changes: Sequence[FieldChange], signer: str) -> None:
    """Fields that nobody named may have been meant to stay."""
    from node.cli.output.screen import warn

    removed = [change for change in changes if change.is_removal]
    if any(change.path != "/newowner" for change in removed):
        warn("fields that the new claim does not name are removed; --merge keeps them")
    for change in removed:
        if change.path == "/newowner" and change.before != signer:
            warn(f"the offer to {change.before} is withdrawn; --merge keeps an offer")


def _describe(change: FieldChange) -> str:
    name = change.path.removeprefix("/").replace("/", ".")
    if change.is_removal:
        return f"removed {name}, which was {_cut(change.before)}"
    if change.before is msgspec.UNSET:
        return f"added {name}: {_cut(change.after)}"
    return f"changed {name}: {_cut(change.before)} -> {_cut(change.after)}"


def _cut(value: Any) -> str:
    from node.cli.output.text import compact

    text = compact(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}..."


def _require(head: "SignedRecord | None", domain: str, label: str) -> "SignedRecord":
    if head is None:
        raise CommandError(Exit.REFUSED, "unknown_label", f"{domain} has no label {label}")
    return head


def _warn_of_spelling(*names: str) -> None:
    """One word in two spellings, composed and not, gives two labels that look the same."""
    from node.cli.output.screen import warn

    for name in names:
        if not unicodedata.is_normalized("NFC", name):
            warn(f"{name!a} is not in Unicode's form NFC: it looks like another name, and is a different one")
