"""A world without real clock, sockets, threads and disks: virtual time, and a network and disks in memory."""
