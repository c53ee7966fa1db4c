"""One link between two nodes as a machine: frames, times and answers go in, and orders come out."""
