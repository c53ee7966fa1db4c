"""The protocol: every decision that a node makes, and none of its effects.

Values go in and values come out. There are no sockets, no clock, no randomness of its own, no database, no log. `node`
carries out the decisions, and `simulations` runs the same code in virtual time. `docs/protocol.md` states the rules in
prose. `errors`, `limits` and `signing` serve all rooms. From the lowest to the highest, the rooms are:

- `records`: what a record is (`canonical`, `record`), who owns a label (`replay`, `change`), and which records a node
  accepts from whom (`admission`, `push`, `quota`).
- `witness`: how the witnesses of a domain give its records an order that nobody can fake, and decide which heads are
  final.
- `sets`: all the records of a domain as an ordered set (`index`), and how two nodes find what one of them lacks: by
  time or key by key (`paging`), or by fingerprints (`negentropy`).
- `gossip`: how a new record reaches every node over a tree of links (`plumtree`, with `missing`, `timing` and
  `tree_link`), and how each node gets its neighbours (`hyparview`).
- `link`: one connection between two nodes, from its handshake to its end: what each frame means, how much may be in
  flight, and how both sides come to hold the same records.
"""
