"""Live events for clients.

`events` defines an event's spelling and cursor, `consumers` finds the consumers of an event, and `hub` joins both with
the store.
"""

from node.streams.consumers import Consumer
from node.streams.events import Framing, StreamedEvent
from node.streams.hub import Streams

__all__ = ["Consumer", "Framing", "StreamedEvent", "Streams"]
