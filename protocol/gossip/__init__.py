"""Gossip over many links: Plumtree spreads records along a tree, HyParView chooses the neighbours."""
