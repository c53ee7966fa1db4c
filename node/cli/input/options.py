"""Options that several commands share, so that each has one spelling, one explanation and one meaning."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.output.failures import usage

if TYPE_CHECKING:
    from node.client.http import NodeClient

DEFAULT_NODE: Final = "http://127.0.0.1:8080"
DEFAULT_KEY: Final = Path("dnarc.key")

CLIENT_TIMEOUT_S: Final = 60.0
SYNC_TIMEOUT_S: Final = 3_600.0
"""A node answers `/sync/*` after the work is done, and the first sync of a large domain takes long."""


def _before_or_after(context: typer.Context, value: bool) -> bool:
    """`--json` may stand before or after the command. The group before the command keeps its own flag in `obj`."""
    return value or context.find_root().obj is True


def _not_empty(value: str) -> str:
    """A name for the path of a request. An empty name, as from an unset variable of a shell, would change the path."""
    if not value:
        raise typer.BadParameter("the name is empty")
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Answer with plain JSON.", callback=_before_or_after)]
AsJsonBefore = Annotated[bool, typer.Option("--json", help="Answer with plain JSON.")]
NodeUrl = Annotated[str, typer.Option("--node", envvar="DNARC_NODE", metavar="URL", help="The node to ask.")]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="DNARC_TLS_CA",
        metavar="FILE",
        help="PEM file of the authority that signed the node's certificate.",
    ),
]
Key = Annotated[
    Path,
    typer.Option(
        "--key", envvar="DNARC_KEY", metavar="FILE", help="The file of the key that signs. `dnarc keygen` makes it."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="DNARC_ADMIN_TOKEN",
        metavar="TOKEN",
        help="The node's admin token. Others on this machine see it here: prefer the variable, or --data.",
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The node's data folder, which holds its admin token.")
]
Domain = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="The sync domain.", show_default=False, callback=_not_empty)
]
Label = Annotated[
    str, typer.Argument(metavar="LABEL", help="The label inside the domain.", show_default=False, callback=_not_empty)
]


def connect(
    url: str, authority: Path | None, token: str | None = None, timeout_s: float = CLIENT_TIMEOUT_S
) -> "NodeClient":
    """A client of the node. Raises: CommandError: this is no URL. SettingsError: the authority cannot be read."""
    from node.client.http import NodeClient

    try:
        return NodeClient(url, token, timeout_s, authority)
    except ValueError as error:
        raise usage(str(error)) from error


def find_token(token: str | None, data: Path | None) -> str | None:
    """The admin token, as given or from the node's data folder; None if neither is given.

    Raises:
        CommandError: the folder holds no token.
    """
    if token is not None or data is None:
        return token
    try:
        return (data / "admin-token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"is {data} the data folder of the node? a node makes this file at its first start"
        raise usage(f"{data / 'admin-token'} holds no admin token that can be read", remedy) from error
