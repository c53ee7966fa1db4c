"""The process that verifies signatures: it answers one question after another, until nobody can ask any more.

`node.verification.verifying_process` starts it, by `python -m node.verification.answering`, and asks it. A question
comes on stdin and its answer goes to stdout. The process imports very little, because each process pays for its
imports: 7 MB, and 35 ms of processor time before it is ready.
"""

import marshal
import os
import signal
import sys
from typing import Final

from protocol.signing import verify

READY: Final = b"!"
"""What the process writes first."""

Question = list[tuple[str, bytes, str]]
"""Key, canonical bytes and signature of each record. The answer is one byte a record: 1 if it is genuine, else 0."""

NICE: Final = 3
"""How much lower the priority of the process is than that of the node. While the processes compete with the node for
the same cores, they finish early, wait for the node to decide, and cores stand idle. On two cores, the two processes
waited for 0.3 s of each second of a pipeline of batches, and for 0.02 s with this priority. With 5 they waited no less,
and lost more to other programs: on a busy machine, these get twice as much of a core as a process with 3."""

_LENGTH_BYTES: Final = 4

_MARSHAL_VERSION: Final = 2
"""The last version without references to repeated values. To look for repeated values takes longer than to write
them."""


def pack(records: Question) -> bytes:
    """The bytes of a question. `marshal` serves here, because both ends run the same interpreter and trust each other.
    It is part of the interpreter, so the process need not import another encoding.
    """
    question = marshal.dumps(records, _MARSHAL_VERSION)
    return len(question).to_bytes(_LENGTH_BYTES, "big") + question


def main() -> None:
    """Answer questions until stdin is closed."""
    os.nice(NICE)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a stop of the whole service is for the node, which may still ask
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while length := questions.read(_LENGTH_BYTES):
        question: Question = marshal.loads(questions.read(int.from_bytes(length, "big")))
        answers.write(bytes(verify(key, canonical, signature) for key, canonical, signature in question))
        answers.flush()


if __name__ == "__main__":
    main()
