"""Examples of every command, for its `--help`. dnarc takes each of these command lines as it stands."""

from typing import Final

_KEY: Final = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"""The public key of the first test in RFC 8032."""

_WITNESSED: Final = "org.example.wvmsbone7ffe4nmxx2wauic2aqj4lvpmbf27q5woy6noemgoqweaa"
"""The domain of which the key above is the only witness."""

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "serve": (
        "dnarc serve",
        "dnarc serve --port 9000 --data /var/lib/dnarc --domains example.org",
        "DNARC_MAX_AGE=86400 dnarc serve --config dnarc.toml",
    ),
    "keygen": ("dnarc keygen alice.key", "dnarc keygen --passphrase alice.key"),
    "claim": (
        "dnarc claim example.org garden title='A garden' size=42 --key alice.key",
        "dnarc claim example.org garden --json claim.json --key alice.key",
        "dnarc claim example.org garden size=43 title=null --merge --key alice.key",
    ),
    "transfer": (f"dnarc transfer example.org garden {_KEY} --key alice.key",),
    "accept": ("dnarc accept example.org garden --key bob.key",),
    "get": (
        "dnarc get example.org",
        "dnarc get example.org --prefix g --limit 10",
        "dnarc get example.org garden --json",
    ),
    "history": ("dnarc history example.org garden",),
    "why": ("dnarc why example.org garden",),
    "domains": (
        "dnarc domains --node https://node.example",
        "dnarc domains --sizes",
        "dnarc domains --keys --domain example.org --limit 5",
    ),
    "sync": ("dnarc sync", "dnarc sync pull --peer https://other.example --data /var/lib/dnarc"),
    "export": ("dnarc export records.jsonl", "dnarc export - --domain example.org"),
    "import": ("dnarc import records.jsonl --data /var/lib/dnarc", "dnarc import - --data data < records.jsonl"),
    "verify": (
        "dnarc verify records.jsonl",
        "dnarc verify --json < records.jsonl",
        "dnarc verify --proof a.proof",
    ),
    "proof": (f"dnarc proof {_WITNESSED} garden a.proof",),
    "watch": ("dnarc watch", "dnarc watch --domain example.org --json"),
    "top": ("dnarc top", "dnarc top --node https://node.example --interval 5", "dnarc top --json"),
    "doctor": ("dnarc doctor", "dnarc doctor --data /var/lib/dnarc", "dnarc doctor --json"),
    "backup": ("dnarc backup --data /var/lib/dnarc /srv/backups/dnarc-monday",),
    "move": (
        "dnarc move --data /var/lib/dnarc --to postgresql://dnarc@db.example/dnarc",
        "dnarc move --from postgresql://dnarc@db.example/dnarc --data /var/lib/dnarc",
    ),
    "erase": (
        f"dnarc erase {'ab' * 32} --reason 'court order' --data /var/lib/dnarc",
        "dnarc erase --label example.org garden --dry-run --data /var/lib/dnarc",
        f"dnarc erase --key {_KEY} --reason spam --yes --data /var/lib/dnarc",
        "dnarc erase --list --data /var/lib/dnarc",
    ),
    "drop": (
        "dnarc drop example.org --reason spam --data /var/lib/dnarc",
        "dnarc drop example.org --undo --data /var/lib/dnarc",
        "dnarc drop --list --data /var/lib/dnarc",
    ),
    "rebuild": ("dnarc rebuild --data /var/lib/dnarc --check", "dnarc rebuild --data /var/lib/dnarc"),
    "config": ("dnarc config", "dnarc config --config dnarc.toml --json"),
    "version": ("dnarc version",),
    "peers add": (
        "dnarc peers add https://other.example --pull --push --data /var/lib/dnarc",
        "dnarc peers add wss://other.example --pull --data /var/lib/dnarc",
        f"dnarc peers add --key {_KEY} --accept --data data",
    ),
    "peers list": ("dnarc peers list", "dnarc peers list --json"),
    "witness new": (f"dnarc witness new {_KEY} --prefix org.example",),
    "witness key": ("dnarc witness key --data /var/lib/dnarc",),
    "witness show": (f"dnarc witness show {_WITNESSED}",),
    "witness begin": (f"dnarc witness begin {_WITNESSED} --data /var/lib/dnarc",),
    "plugin test": (
        "dnarc plugin test records.jsonl --config dnarc.toml",
        "dnarc plugin test --data /var/lib/dnarc --config dnarc.toml --json",
    ),
    "peers remove": ("dnarc peers remove https://other.example --data /var/lib/dnarc",),
}
"""The examples by the words after `dnarc`."""


def epilog_of(name: str) -> str:
    """The end of a command's help, with each example in a line."""
    return "\n\n".join(("Examples:", *EXAMPLES[name]))
