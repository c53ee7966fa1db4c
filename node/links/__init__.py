"""Links: connections to other nodes that carry records as they are made (section 5 of `docs/protocol.md`).

`protocol.link.link` decides what a link says. `protocol.gossip.plumtree` decides which record goes over which link.
This package owns the sockets and the tasks:

- `registry`: all links of a node, `redialler`: keeps one link up, `link_sync`: a sync that a caller asks for
- `running_link`: one link while it lasts, with `incoming`, `cursors` and `transport_tasks` as its parts
- `dissemination`: carries out gossip, with the records of `node.store.recent_records`, which peers ask for
- `opening`: how a WebSocket comes to be, `transport`: the WebSocket as a link sees it
- `permission`: what the peers table allows a peer, `summary`: a link as `GET /peers` shows it
"""

from node.links.parts import LinkParts
from node.links.registry import Links

__all__ = ["LinkParts", "Links"]
