"""Links: connections to other nodes over which records go as they are made (section 5 of the contract).

`protocol.link.link` decides what a link says, `protocol.gossip.plumtree` decides where a record goes. Here are the
sockets and the tasks: `registry` has all links of a node, `dialler` keeps one up, `accepting` lets others in,
`session` is one link while it lasts.
"""

from node.links.registry import Links

__all__ = ["Links"]
