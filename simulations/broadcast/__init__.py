"""Broadcast at scale: `protocol.gossip.plumtree` over `protocol.gossip.hyparview` alone, on 10,000 nodes and more.

The machines are the very ones that a node runs. What carries their messages is a list of events; a record is an id. The
experiments are those of the papers (Plumtree, SRDS 2007; HyParView, DSN 2007), and their figures stand beside ours.
"""
