"""Live events for clients: `events` says what one is and how it is spelled, `consumers` who gets which, `hub` brings
them together with the store.
"""

from node.streams.consumers import Consumer
from node.streams.events import Form, StreamedEvent
from node.streams.hub import Streams

__all__ = ["Consumer", "Form", "StreamedEvent", "Streams"]
