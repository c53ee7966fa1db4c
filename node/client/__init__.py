"""A node seen from outside: the clients that the commands use."""
