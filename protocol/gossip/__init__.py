"""Gossip over many links: Plumtree sends records along a tree of links, HyParView chooses the neighbours."""
