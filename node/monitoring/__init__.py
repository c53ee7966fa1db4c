"""What an operator reads about a node: counters, the metrics page, health, convergence."""
