"""The settings of a node: what an operator may choose, how it is described, and where each value comes from."""
