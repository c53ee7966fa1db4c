"""What dnarc decides, and nothing that it does.

Values in, values out: no sockets, no clock, no chance of its own, no database. `node` carries out what is decided here,
and `simulations` runs the very same code in virtual time. `docs/protocol.md` says the rules in prose; the modules are,
from the lowest: `limits`, `errors`, `canonical`, `signing`, `record`, `replay`, `index`, `admission`.
"""
