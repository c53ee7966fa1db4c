"""What dnarc decides, and nothing that it does.

Values in, values out: no sockets, no clock, no chance of its own, no database. `node` carries out what is decided here,
and `simulations` runs the very same code in virtual time. `docs/protocol.md` says the rules in prose. The modules:

- what a record is: `limits`, `errors`, `varint`, `canonical`, `signing`, `record`
- whose a label is: `replay`, `change`
- who holds what: `index`, `reconcile`, `catch_up`
- who may bring what: `push`, `admission`, `quota`
- where news goes: `gossip`, with `wants`, `branch` and `patience`; whom a node is linked with: `membership`
- one link: `link`, with `messages`, `terms`, `orders`, `handshake`, `deadlines` and `status`; open, it is a `session`
  of `outflow` (`waiting`, `in_flight`, `remembered`), `inflow`, `cursors`, `comparing`, `catching_up`, `reconciling`
  and `repairing`
"""
