"""What must hold in every run: one invariant a module, and a second implementation of ownership."""
