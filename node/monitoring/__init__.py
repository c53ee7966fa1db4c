"""What an operator reads about a node: the metrics page, and health.

Both read the counters that the node's parts keep. The plain counters are in `node.metrics` and `node.convergence`,
because every part uses them.
"""
