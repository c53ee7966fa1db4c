"""Links: connections to other nodes over which records go as they are made (section 5 of the contract).

What a link says is decided by `protocol.link`, where a record goes by `protocol.gossip`. Here are the sockets and the
tasks: `registry` has all links of a node, `dialler` keeps one up, `accepting` lets others in, `session` is one link
while it lasts.
"""

from node.links.registry import Links

__all__ = ["Links"]
