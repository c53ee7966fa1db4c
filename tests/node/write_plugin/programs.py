"""Programs for tests of the write plug-in: each is a few lines of Python that a real process runs."""

import sys
from pathlib import Path
from typing import Any

from node.settings.settings import Settings
from node.write_plugin.trial import Trial, play
from protocol.records.record import Record

_BEGIN = """
import json, os, sys, time
def lines():
    for line in sys.stdin:
        yield json.loads(line)
def say(**fields):
    print(json.dumps(fields), flush=True)
"""


def program(folder: Path, body: str, name: str = "plugin.py") -> list[str]:
    """The command of a program with this body. It has `lines()` and `say(id=..., action=...)`."""
    file = folder / name
    file.write_text(_BEGIN + body, encoding="utf-8")
    return [sys.executable, "-S", "-E", str(file)]


ACCEPTING = "for it in lines(): say(id=it['id'], action='accept')\n"

REJECTING_SPAM = """
for it in lines():
    if it['label'].startswith('spam'):
        say(id=it['id'], action='reject', message='no ' + it['label'] + ', please')
    else:
        say(id=it['id'], action='accept')
"""

SILENT = "for it in lines(): pass\n"


async def tried(*records: Record, **settings: Any) -> Trial:
    """What a node with these settings would have done with the records."""
    trial = Trial()
    async for _ in play(records, Settings(**settings), trial):
        pass
    return trial
