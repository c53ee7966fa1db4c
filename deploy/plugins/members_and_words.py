#!/usr/bin/env python3
"""A write plug-in for dnarc, to copy and change: a list of members, and a list of words that nobody may use.

Members may found labels. Everybody may write to labels that exist. Nobody may use a word of the word list, in the label
or in any text of the claim. In the settings file of the node:

    write_plugin = ["/etc/dnarc/members_and_words.py", "/etc/dnarc/members.txt", "/etc/dnarc/words.txt"]

members.txt has one public key a line, words.txt one word a line. In both, `#` begins a comment. The program reads the
files again when they change, so a new member needs no restart.

How it talks with the node: the node writes one JSON object a line to our stdin, and we answer with one JSON object a
line on our stdout, {"id": ..., "action": "accept" or "reject", "message": ...}. What we write to stderr appears in the
log of the node. docs/operations.md describes all fields. It needs nothing but Python 3.

Try it before you switch it on: dnarc plugin test records.jsonl --config dnarc.toml
"""

import json
import os
import re
import sys


class ListFile:
    """The lines of a file, read again when the file has changed."""

    def __init__(self, path):
        self.path = path
        self.stamp = None
        self.lines = frozenset()

    def read(self):
        # The time and the size tell whether the file has changed. If it cannot be read, keep what we know, because an
        # editor may be replacing it at this moment.
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8") as file:
                    lines = (line.partition("#")[0].strip().lower() for line in file)
                    self.lines = frozenset(line for line in lines if line)
                self.stamp = stamp
                print(f"{self.path}: {len(self.lines)} lines", file=sys.stderr, flush=True)
        except OSError as error:
            print(f"{self.path} cannot be read: {error}", file=sys.stderr, flush=True)
        return self.lines


def texts_of(value):
    """Every text in a JSON value, names of fields included, in lower case."""
    if isinstance(value, str):
        yield value.lower()
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name.lower()
            yield from texts_of(each)


def judge(question, members, words):
    """Why this record is not welcome, or None if it is."""
    # `verdict` is what would become of the record: "founded" if it would found its label. In a domain with witnesses it
    # is "pending", and a record without `prev` is a founding.
    is_founding = question["verdict"] == "founded" or (
        question["verdict"] == "pending" and "prev" not in question["record"]
    )
    if is_founding and question["signedby"] not in members:
        return "Only members found labels here. Ask the operator to become one."

    # The record holds keys and ids too, but no word of a language looks like 64 hex digits.
    used = {word for text in texts_of(question["record"]) for word in re.findall(r"\w+", text)}
    forbidden = sorted(used & words)
    if forbidden:
        return f"This node takes no claims with the word {forbidden[0]!r}."
    return None


def main():
    members, words = ListFile(sys.argv[1]), ListFile(sys.argv[2])

    # One line is one question. The loop ends when the node closes our stdin, which tells us to end.
    for line in sys.stdin:
        question = json.loads(line)
        message = judge(question, members.read(), words.read())
        answer = {"id": question["id"], "action": "accept" if message is None else "reject"}
        if message is not None:
            answer["message"] = message  # the client is told this

        # `flush` is important: without it, Python keeps the answer until it has collected many, and the node waits.
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
