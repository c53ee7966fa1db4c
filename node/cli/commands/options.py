"""Options that many commands share, so that each is spelled, explained and read in one way."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.output.failures import usage

if TYPE_CHECKING:
    from node.client.http import NodeClient

DEFAULT_NODE: Final = "http://127.0.0.1:8080"

CLIENT_TIMEOUT_S: Final = 60.0
SYNC_TIMEOUT_S: Final = 3_600.0
"""A node answers `/sync/*` when the work is done, and the first sync of a large domain is much work."""


def _before_or_after(context: typer.Context, value: bool) -> bool:
    """`--json` counts wherever it stands: the group before the command keeps its own in `obj`."""
    return value or context.find_root().obj is True


AsJson = Annotated[bool, typer.Option("--json", help="Answer with plain JSON.", callback=_before_or_after)]
AsJsonBefore = Annotated[bool, typer.Option("--json", help="Answer with plain JSON, whatever the command.")]
NodeUrl = Annotated[str, typer.Option("--node", envvar="DNARC_NODE", metavar="URL", help="The node to ask.")]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="DNARC_TLS_CA",
        metavar="FILE",
        help="PEM file of the authority that the node's certificate needs.",
    ),
]
Key = Annotated[
    Path, typer.Option("--key", envvar="DNARC_KEY", metavar="FILE", help="The key that signs, made by `dnarc keygen`.")
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="DNARC_ADMIN_TOKEN", metavar="TOKEN", help="The node's admin token.")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The node's data folder, which holds its admin token.")
]
Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The sync domain.", show_default=False)]
Label = Annotated[str, typer.Argument(metavar="LABEL", help="The name inside the domain.", show_default=False)]


def connect(
    url: str, authority: Path | None, token: str | None = None, timeout_s: float = CLIENT_TIMEOUT_S
) -> "NodeClient":
    """A client of that node. Raises: CommandError: that is no URL. SettingsError: the authority cannot be read."""
    from node.client.http import NodeClient

    try:
        return NodeClient(url, token, timeout_s, authority)
    except ValueError as error:
        raise usage(str(error)) from error


def find_token(token: str | None, data: Path | None) -> str | None:
    """The admin token: as given, or from the node's folder; None where neither is.

    Raises:
        CommandError: that folder has none.
    """
    if token is not None or data is None:
        return token
    try:
        return (data / "admin-token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{data / 'admin-token'} cannot be read: {error}", "a node makes it at its first start") from error
