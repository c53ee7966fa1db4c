"""What must hold in every run: the invariants, and a second implementation of ownership."""
