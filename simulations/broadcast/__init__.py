"""Broadcast at scale: only `protocol.gossip.plumtree` over `protocol.gossip.hyparview`, on 10,000 nodes and more.

The state machines are the same that a node runs. A list of events carries their messages, and a record is only an id.
The experiments are those of the papers (Plumtree, SRDS 2007; HyParView, DSN 2007), and their figures stand beside ours.
"""
