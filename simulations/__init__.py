"""Many nodes at once: what a network of them does. Imports `node` and `protocol`; neither imports `simulations`."""
