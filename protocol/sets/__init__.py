"""Sets of records as ordered keys: their fingerprints, and how two nodes find what one of them lacks."""
