"""Many nodes: shows of what they do together. Imports `node` and `protocol`; nothing there imports this."""
