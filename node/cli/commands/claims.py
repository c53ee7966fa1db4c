"""Claims: to write one, to offer a label to another key, and to accept such an offer.

Each command asks the node for the label's head and proves its signature, names it in `prev`, and takes a timestamp
above the head's. So what it signs says "after exactly this": if somebody else wrote in between, the node refuses it as
`stale`, and nothing is lost.
"""

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.commands.heads import OWN_FIELDS, Content, claim_of, find_head
from node.cli.commands.keys import open_key
from node.cli.commands.options import DEFAULT_NODE, AsJson, Authority, Domain, Key, Label, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit, usage

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from protocol.records.record import SignedRecord
    from protocol.signing import SigningKey


def claim(
    context: typer.Context,
    domain: Domain,
    label: Label,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="The claim: JSON where it reads as such, text otherwise."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="The claim as a JSON object in a file, - for stdin.")
    ] = None,
    key: Key = Path("dnarc.key"),
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
) -> None:
    """Write a claim: found a label, or update one that you own.

    A VALUE that is JSON (a number, true, false, null, an object, an array, a string in quotes) is taken as that,
    anything else as text: n=42 is a number, n='"42"' is text. For JSON as the answer: dnarc --json claim ...
    """
    if (file is None) == (not pairs):
        raise usage("a claim is either KEY=VALUE pairs or --json FILE")
    content = parse_pairs(pairs) if pairs else read_object(file or "-")
    _publish(connect(node, tls_ca), key, context.find_root().obj is True, domain, label, lambda _: content)


def transfer(
    domain: Domain,
    label: Label,
    newowner: Annotated[
        str, typer.Argument(metavar="NEWOWNER", help="A public key, 64 hex digits.", show_default=False)
    ],
    key: Key = Path("dnarc.key"),
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Offer a label to another key. It stays yours until that key accepts; the claim itself stays as it is."""
    from protocol.signing import is_key

    if not is_key(newowner):
        raise usage(f"{newowner} is no public key: 64 lower-case hex digits, as `dnarc keygen` shows")

    def offered(head: "SignedRecord | None") -> Content:
        return claim_of(_existing(head, domain, label).record.canonical) | {"newowner": newowner}

    _publish(connect(node, tls_ca), key, as_json, domain, label, offered)


def accept(
    domain: Domain,
    label: Label,
    key: Key = Path("dnarc.key"),
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Accept a label that is offered to your key. From then on it is yours; the claim itself stays as it is."""

    def accepted(head: "SignedRecord | None") -> Content:
        return claim_of(_existing(head, domain, label).record.canonical)

    _publish(connect(node, tls_ca), key, as_json, domain, label, accepted, is_offered=True)


def parse_pairs(pairs: Sequence[str]) -> Content:
    """The object that `key=value` arguments spell. Raises: CommandError: one is no pair, or a key is there twice."""
    content: Content = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise usage(f"{pair!r} is no KEY=VALUE")
        if name in content:
            raise usage(f"the key {name!r} is there twice")
        content[name] = parse_value(text)
    return _checked(content)


def parse_value(text: str) -> Any:
    """A JSON value where the text is one, the text itself otherwise; NaN and Infinity are text: JSON has neither."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def read_object(file: str) -> Content:
    """The JSON object in a file, `-` for stdin. Raises: CommandError: it cannot be read, or is no object of I-JSON."""
    from protocol.records.canonical import canonicalise

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}") from error
    value, _ = canonicalise(data)
    if not isinstance(value, dict):
        raise usage(f"{file} holds no JSON object, and a claim is one")
    return _checked(value)


def _publish(
    client: "NodeClient",
    key_file: Path,
    as_json: bool,
    domain: str,
    label: str,
    content_of: Callable[["SignedRecord | None"], Content],
    is_offered: bool = False,
) -> None:
    """Sign what follows the head, and hand it to the node."""
    _warn_of_spelling(domain, label)
    key = open_key(key_file)
    with client:
        head = find_head(client, domain, label)
        if is_offered and head is not None and head.record.newowner != key.public:
            raise CommandError(Exit.REFUSED, "not_owner", f"{label} is not offered to this key, {key.public}")
        signed = follow(head, key, {**content_of(head), "domain": domain, "label": label}, int(time.time()))
        outcome = _put(client, signed)
    _tell(outcome, signed, as_json)


def follow(head: "SignedRecord | None", key: "SigningKey", content: Content, now: int) -> "SignedRecord":
    """The record with this content that comes next, signed. Raises: ProtocolError: that is no record."""
    from protocol.records.record import make, sign

    after = 0 if head is None else head.record.timestamp + 1
    fields = content | {"signedby": key.public, "timestamp": max(now, after)}
    return sign(make(fields if head is None else fields | {"prev": head.record.id}), key)


def _put(client: "NodeClient", signed: "SignedRecord") -> dict[str, Any]:
    """What the node says of the record: every answer about it is a dict under its signature, refusals too."""
    import msgspec

    from node.client.http import path_of

    answer = client.ask("PUT", path_of("claims", signed.signature), body=signed.record.canonical)
    try:
        outcome = msgspec.json.decode(answer.body, type=dict[str, Any]).get(signed.signature)
    except msgspec.MsgspecError:
        outcome = None
    if not isinstance(outcome, dict):
        answer.check()
        raise CommandError(Exit.UNREACHABLE, "unreachable", f"{client.url} does not answer as a node does")
    return outcome


def _tell(outcome: dict[str, Any], signed: "SignedRecord", as_json: bool) -> None:
    from node.cli.output.screen import show
    from node.cli.output.text import plain

    record = signed.record
    if as_json:
        show({signed.signature: outcome}, True, lambda: plain(""))
    if outcome.get("status") == "refused":
        raise CommandError(Exit.REFUSED, str(outcome.get("code")), str(outcome.get("detail")))
    if not as_json:
        words = f"{outcome.get('verdict', outcome.get('status'))}: {record.domain} {record.label}, record {record.id}"
        show(None, False, lambda: plain(words))


def _existing(head: "SignedRecord | None", domain: str, label: str) -> "SignedRecord":
    if head is None:
        raise CommandError(Exit.REFUSED, "unknown_label", f"{domain} has no label {label}")
    return head


def _checked(content: Content) -> Content:
    own = [name for name in OWN_FIELDS if name in content]
    if own:
        raise usage(f"{own[0]!r} is set by dnarc itself", "`dnarc transfer` offers a label to another key")
    return content


def _warn_of_spelling(*names: str) -> None:
    """Two spellings of one word, composed and not, are two labels: whoever reads them sees no difference."""
    from node.cli.output.screen import warn

    for name in names:
        if not unicodedata.is_normalized("NFC", name):
            warn(f"{name!a} is not in Unicode's form NFC: it looks like another name and is none")


def _no_constant(text: str) -> Any:
    raise ValueError(text)
