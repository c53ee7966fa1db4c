"""`dnarc erase` and `dnarc drop`: take records down on a node, and show what was taken down.

The commands ask the node over HTTP. If no node runs, they do the work in the store itself.
"""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from node.cli.data_folder import ask_node, held, name_of_store, work_in_store
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Data, NodeUrl, Token, connect, find_token
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.progress import Show, gauge
from node.cli.output.screen import show, table
from node.cli.output.text import many, moment, plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from rich.console import RenderableType

    from node.client.http import NodeClient
    from node.store.contract import Store

    Result = TypeVar("Result")

LISTED_MAX: Final = 1_000
"""Removals that `--list` shows."""

_WAIT_S: Final = 1
_GOES_ON: Final = 202

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why. Who asks for a record that is gone is told.")
]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decided it; by default, your user name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")]
IsList = Annotated[bool, typer.Option("--list", help="Show what was taken down, by whom, when and why.")]


def erase(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Ids of records.", show_default=False)] = None,
    label: Annotated[
        tuple[str, str] | None, typer.Option("--label", metavar="DOMAIN LABEL", help="All records of this label.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="HEX", help="All records that this key signed.")] = None,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="DOMAIN", help="All records of this domain, or with --key those of the key."),
    ] = None,
    reason: Reason = "",
    by: By = None,
    is_list: IsList = False,
    is_dry_run: DryRun = False,
    is_sure: Yes = False,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Erase the bodies of records on this node: overwrite them in its files, for good.

    What stays is who signed, when, under which label and id, so owners and peers stay as they are. Other nodes keep
    their copies. The erasure covers what the node holds now. The same record that comes again is not stored again.
    """
    with connect(node, tls_ca, find_token(token, data)) as client:
        place = _Place(client, data)
        if is_list:
            _show_list(place, as_json)
            return
        removal = {**_target(ids, label, key, domain), "reason": reason, "by": by or _user()}
        counted = place.count(removal)
        if is_dry_run:
            show(counted, as_json, lambda: plain(f"would erase {_amount(counted)}"))
            return
        _ask(f"Erase {_amount(counted)} on {place.name}? This cannot be undone.", is_sure)
        done = place.remove(removal)
    show(done, as_json, lambda: plain(f"erased {many(done['records'], 'record')}, {many(done['size_bytes'], 'byte')}"))


def drop(
    domain: Annotated[
        str | None, typer.Argument(metavar="DOMAIN", help="The domain to forget.", show_default=False)
    ] = None,
    reason: Reason = "",
    by: By = None,
    is_list: IsList = False,
    is_undone: Annotated[bool, typer.Option("--undo", help="Keep the dropped domain again, from now on.")] = False,
    is_dry_run: DryRun = False,
    is_sure: Yes = False,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Forget a domain on this node for good, and do not keep it any more, whoever brings it.

    A running node erases all bodies of the domain at once; what is left of its records goes when the node starts again.
    """
    with connect(node, tls_ca, find_token(token, data)) as client:
        place = _Place(client, data)
        if is_list:
            _show_list(place, as_json)
            return
        if domain is None:
            raise usage("name the domain", "`dnarc drop DOMAIN`")
        if is_undone:
            answer = place.keep_again(domain)
            show(
                answer,
                as_json,
                lambda: plain(f"{domain} is kept again: it comes back from clients, and from peers with the next link"),
            )
            return
        removal = {"kind": "drop", "domain": domain, "reason": reason, "by": by or _user()}
        counted = place.count(removal)
        counted["records"] += counted.pop("of_witnesses")
        if is_dry_run:
            show(counted, as_json, lambda: plain(f"would drop {_amount(counted)}"))
            return
        _ask(f"Drop {domain} with {_amount(counted)} from {place.name}? This cannot be undone.", is_sure)
        done = place.remove(removal)
    show(done, as_json, lambda: plain(_dropped(done)))


def _dropped(removal: dict[str, Any]) -> str:
    words = f"dropped {many(removal['records'], 'record')}, {many(removal['size_bytes'], 'byte')}"
    return words if removal["done"] else f"{words}; what is left of their rows goes when the node starts again"


def _target(
    ids: list[str] | None, label: tuple[str, str] | None, key: str | None, domain: str | None
) -> dict[str, Any]:
    """The fields of a removal that name the records. Raises: CommandError: they name none, or too much, or no id."""
    from protocol.records.record import is_id

    wrong = [each for each in ids or () if not is_id(each)]
    if wrong:  # the names of a domain and a label, or an id that a table shows cut
        remedy = "`dnarc history --json` shows whole ids; `--label DOMAIN LABEL` names all records of a label"
        raise usage(f"{wrong[0]} is no record id: 64 lower-case hex digits", remedy)
    if label is not None and domain is not None:
        raise usage("--label names its domain by itself: leave out --domain")
    named = {
        "ids": ids or None,
        "key": key,
        "domain": label[0] if label else domain,
        "label": label[1] if label else None,
    }
    target = {name: value for name, value in named.items() if value is not None}
    if set(target) not in ({"ids"}, {"key"}, {"domain"}, {"domain", "label"}, {"domain", "key"}):
        raise usage("name the records: by ids, or by one of --label, --key and --domain", "`dnarc erase --help`")
    return target


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process without a user name, as in some containers
        return "admin"


def _ask(question: str, is_sure: bool) -> None:
    """Raises: CommandError: the answer is no, or nobody is there to answer."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise usage("this asks before it removes anything, and stdin is no terminal", "add --yes")
    if not typer.confirm(question, err=True):
        raise CommandError(Exit.REFUSED, "not_confirmed", "nothing was removed")


def _amount(counted: dict[str, int]) -> str:
    heads, size = f"{counted['heads']:,} of them heads", many(counted["size_bytes"], "byte")
    amount = f"{many(counted['records'], 'record')} ({heads}), {size}"
    kept = counted.get("of_witnesses", 0)
    return f"{amount}; kept: {many(kept, 'record')} of witnesses" if kept else amount


class _Place:
    """Where the work is done: a node that answers, or the store in a folder on which no node runs."""

    def __init__(self, client: "NodeClient", data: Path | None) -> None:
        self._client = client
        self._data = data
        self._is_offline = False

    @property
    def name(self) -> str:
        if self._is_offline and self._data is not None:
            return name_of_store(self._data)
        return self._client.url

    def count(self, removal: dict[str, Any]) -> dict[str, int]:
        body = msgspec.json.encode({**removal, "dry_run": True})
        answer = self._over_http("POST", "/removals", body)
        if answer is None:
            target = _typed(removal)
            answer = self._in_store(lambda store: store.removals.count(target))
        return dict(msgspec.to_builtins(answer))

    def remove(self, removal: dict[str, Any]) -> dict[str, Any]:
        """The removal when it is done."""
        with gauge(f"{removal.get('kind', 'erase')} (rows)") as advance:
            if self._is_offline:
                return self._remove_in_store(removal, advance)
            answer = self._client.ask("POST", "/removals", body=msgspec.json.encode(removal))
            while answer.status == _GOES_ON:
                now = answer.value()
                advance(now["position"], now["total"])
                answer = self._client.ask("GET", f"/removals/{now['number']}", {"wait": str(_WAIT_S)})
            return dict(answer.value())

    def keep_again(self, domain: str) -> dict[str, Any]:
        """Raises: CommandError: the domain is not dropped."""
        answer = self._over_http("DELETE", "/dropped", None, {"domain": domain})
        if answer is None:

            async def undo(store: "Store") -> bool:
                from node.removal.completion import complete_all

                await complete_all(store)
                return await store.removals.keep_again(domain)

            if not self._in_store(undo):
                raise CommandError(Exit.REFUSED, "unknown_domain", f"{domain} is not dropped", "`dnarc drop --list`")
            answer = {"domain": domain, "dropped": False}
        return dict(answer)

    def list(self) -> dict[str, Any]:
        answer = self._over_http("GET", "/removals", None, {"limit": str(LISTED_MAX)})
        if answer is None:

            async def read(store: "Store") -> dict[str, Any]:
                removals = await store.removals.list(None, LISTED_MAX)
                return {
                    "removals": [each.shown for each in removals],
                    "dropped": sorted(await store.removals.dropped()),
                }

            answer = self._in_store(read)
        return dict(answer)

    def _over_http(self, method: str, path: str, body: bytes | None, query: dict[str, str] | None = None) -> Any:
        """The answer of the node. None: no node answers, and there is a folder."""
        answer = ask_node(self._client, self._data, method, path, query, body)
        self._is_offline = answer is None
        return answer

    def _remove_in_store(self, removal: dict[str, Any], advance: Show) -> dict[str, Any]:
        import time

        from node.removal.completion import complete_all
        from node.store.removals import RemovalKind

        async def work(store: "Store") -> dict[str, Any]:
            kind = RemovalKind(removal.get("kind", "erase"))
            begun = await store.removals.begin(
                kind, _typed(removal), removal["by"], removal["reason"], int(time.time())
            )
            await complete_all(store, advance)
            return (await store.removals.removal(begun.number)).shown

        return dict(self._in_store(work))

    def _in_store(self, work: "Callable[[Store], Awaitable[Result]]") -> "Result":
        """Work on the store itself, while no node may start on it."""
        assert self._data is not None, "without a folder, `_over_http` raises"
        with held(self._data):
            return work_in_store(self._data, work)


def _typed(removal: dict[str, Any]) -> Any:
    from node.store.removals import Target

    fields = {name: removal[name] for name in ("domain", "label", "key") if name in removal}
    return Target(tuple(removal.get("ids", ())), **fields)


def _show_list(place: _Place, as_json: bool) -> None:
    answer = place.list()
    show(answer, as_json, lambda: _table(answer))


def _table(answer: dict[str, Any]) -> "RenderableType":
    rows = [
        (
            moment(each["time"]),
            each["kind"],
            " ".join(_words(each["target"])),
            each["records"],
            each["by"],
            each["reason"],
            "" if each["done"] else "until the next start" if each["bodies_gone"] else "going on",
        )
        for each in answer["removals"]
    ]
    title = f"dropped, and not kept: {', '.join(answer['dropped'])}" if answer["dropped"] else None
    return table(["when", "what", "~of", "#records", "~by", "~why", "state"], rows, title=title)


def _words(target: dict[str, Any]) -> list[str]:
    """What a removal is of, in words."""
    ids = target.get("ids", [])
    shown = [f"{ids[0]}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}"] if ids else []
    return shown + [target[name] for name in ("key", "domain", "label") if name in target]
