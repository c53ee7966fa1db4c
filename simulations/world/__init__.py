"""A world without clock, sockets, threads and disks: virtual time, a network and disks in memory."""
