"""What dnarc does: sockets, disk, threads and clocks.

It carries out what `protocol` decided, and decides nothing of the protocol itself.
"""
