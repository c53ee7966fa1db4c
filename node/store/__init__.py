"""Storage: `contract` says what a node asks of a store, `sqlite` is the embedded store."""
