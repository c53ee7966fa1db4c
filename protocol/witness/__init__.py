"""Witnessed domains: an order of records that nobody can fake, and heads that are final.

`policy` reads who the witnesses of a domain are, `receipt` reads what one witness signed, `testimony` gathers what all
of them said of each record, `walk` turns that into the state of a label, and `voter` is what a witness itself does.
`docs/witnesses.md` and `docs/protocol.md` say the same in prose.
"""
