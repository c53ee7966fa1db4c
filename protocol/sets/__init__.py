"""Sets of records as ordered keys: their fingerprints, and how two nodes find out what one of them lacks."""
