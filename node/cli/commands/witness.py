"""`dnarc witness`: name a witnessed domain, look at its witnesses, and begin to be one of them."""

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Domain, NodeUrl, connect
from node.cli.output.examples import epilog_of
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.screen import show, table
from node.cli.output.text import many, plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.http import NodeClient
    from protocol.witness.policy import Policy

app = typer.Typer(no_args_is_help=True, help="Domains with witnesses, who make the order of claims final.")

SLOTS_SHOWN: Final = 20


@app.command("new", epilog=epilog_of("witness new"))
def new(
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="The node keys of the witnesses, 1 to 16.", show_default=False),
    ],
    faulty: Annotated[
        int, typer.Option("--faulty", min=0, metavar="F", help="How many of them may lie: at most a third of N - 1.")
    ] = 0,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="DOMAIN", help="What stands before the digest in the name.")
    ] = "com.domain",
    is_offline: Annotated[bool, typer.Option("--offline", help="Print the name, and ask no node.")] = False,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Name the domain of these witnesses, and put its policy on a node.

    The name holds a digest of the policy, so nobody can change who the witnesses are. Another policy is another domain.
    """
    from protocol.errors import ProtocolError
    from protocol.records.record import is_domain
    from protocol.witness.policy import make_policy

    try:
        policy = make_policy(keys, faulty)
    except ProtocolError as error:
        raise usage(error.detail) from error
    domain = f"{prefix}.{policy.name}"
    if not is_domain(domain):
        raise usage(f"{prefix} cannot stand before a digest in the name of a domain")
    if not is_offline:
        _put_policy(connect(node, tls_ca), domain, policy)
    answer = {"domain": domain, "witnesses": len(policy.witnesses), "faulty": faulty, "quorum": policy.quorum}
    show(answer, as_json, lambda: plain(domain))


@app.command("key", epilog=epilog_of("witness key"))
def key(
    data: Annotated[
        Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder of the witness.")
    ] = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Show the public key of the node in this folder, by which `dnarc witness new` names it as a witness."""
    from node.disk import NODE_KEY, LocalDisk
    from protocol.signing import SEED_BYTES, SigningKey

    _check_folder(data)
    seed = LocalDisk().secret(data / NODE_KEY, SEED_BYTES, secrets.token_bytes)
    public = SigningKey(bytes.fromhex(seed)).public
    show({"key": public}, as_json, lambda: plain(public))


@app.command("show", epilog=epilog_of("witness show"))
def show_(domain: Domain, node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False) -> None:
    """Show the witnesses of a domain: when each was heard, who lied, and which claims wait for a decision."""
    with connect(node, tls_ca) as client:
        client.get_node()  # first, because its errors tell what answers in the place of a node
        report = client.get("/witnesses", {"domain": domain})
    show(report, as_json, lambda: _table(report))


@app.command("begin", epilog=epilog_of("witness begin"))
def begin(
    domain: Domain,
    data: Annotated[
        Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder of the witness.")
    ] = Path("data"),
    last: Annotated[
        str | None,
        typer.Option("--last", metavar="ID", help="The id of the last receipt that this key ever signed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let the node in this folder witness a domain: its key never did, or --last was its last receipt.

    Be sure: a witness that forgets what it signed may sign something else, which everybody counts as a lie. A node that
    runs with `--witness DOMAIN` begins within a second.
    """
    from node.durable_files import write_durably
    from node.witness.newest import path_of, spell_begin
    from protocol.records.record import is_id, is_witnessed

    if not is_witnessed(domain):
        raise usage(f"{domain} is not the name of a witnessed domain", "`dnarc witness new` gives such a name")
    if last is not None and not is_id(last):
        raise usage("--last is a record id, 64 lower-case hex digits")
    _check_folder(data)
    path = path_of(data, domain)
    if path.exists():
        detail = f"{path} exists: this key witnesses the domain already, and the file says what it signed last"
        raise CommandError(Exit.REFUSED, "begun", detail, "if the node is silent, `dnarc witness show` says why")
    write_durably(path, spell_begin(last))
    answer = {"domain": domain, "file": str(path), "last": last}
    show(
        answer,
        as_json,
        lambda: plain(
            f"begun: the node in {data} may witness {domain}, and does so when it runs with --witness {domain}"
        ),
    )


def _check_folder(data: Path) -> None:
    if not (data / "node.key").exists():
        raise usage(f"{data} is no data folder of a node", "start the node once, or name its folder with --data")


def _put_policy(client: "NodeClient", domain: str, policy: "Policy") -> None:
    """Put the policy record. Anybody may sign it, because the name proves its content: so the key is thrown away."""
    from node.client.publishing import put
    from protocol.records.record import make, sign
    from protocol.signing import SEED_BYTES, SigningKey

    key = SigningKey(secrets.token_bytes(SEED_BYTES))
    fields = {"domain": domain, "label": "@policy", "signedby": key.public, "timestamp": int(time.time())}
    record = make(fields | policy.fields)
    signed = sign(record, key)
    with client:
        outcome = client.converse(put(signed))
    if outcome.code not in (None, "stale"):  # stale: the node has this policy already
        raise CommandError(Exit.REFUSED, str(outcome.code), str(outcome.fields.get("detail")))


def _table(report: dict[str, Any]) -> "RenderableType":
    from rich.console import Group

    rows = [
        (short(each["key"]), "never" if each["lag_s"] is None else f"{each['lag_s']:,.1f} s ago", each["fork_count"])
        for each in report["witnesses"]
    ]
    faulty, quorum = report["faulty"], report["quorum"]
    who = "no policy yet" if quorum is None else f"{quorum} of {len(rows)} decide, {faulty} may lie"
    own = report["own"]
    words = [f"{who}; {many(report['undecided'], 'record')} not decided yet"]
    if own is not None:
        words.append(f"this node is silent: {own['silence']}" if own["silence"] else "this node witnesses the domain")
    if report["doubly_decided"]:
        words.append(f"TWO RECORDS ARE DECIDED in {report['doubly_decided']} places: more than {faulty} witnesses lied")
    witnesses = table(["witness", "heard", "#forks"], rows, title="; ".join(words))
    return (
        witnesses if own is None or not own["open"] else Group(witnesses, _open_slots(own["open"], own["open_count"]))
    )


def _open_slots(slots: list[dict[str, Any]], count: int) -> "RenderableType":
    """What this witness still works on, of the highest rounds first: these wait for longest. `count`: of all slots."""
    slots = sorted(slots, key=lambda slot: (-slot["round"], slot["label"]))
    rows = [
        (
            slot["label"],
            "its founding" if slot["prev"] is None else short(slot["prev"]),
            len(slot["candidates"]),
            slot["round"],
        )
        for slot in slots[:SLOTS_SHOWN]
    ]
    title = f"{many(count, 'open place')} for this witness" + (f", {len(rows)} shown" if count > len(rows) else "")
    return table(["~label", "after", "#candidates", "#round"], rows, title=title)
