"""One link between two nodes as a machine: frames, timers and facts in, orders out."""
