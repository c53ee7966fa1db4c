"""What benchmarks share: nodes, clients that write and ask, processor time, and tables of figures and aims."""
