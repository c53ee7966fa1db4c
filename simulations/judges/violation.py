"""How a judge reports that an invariant did not hold."""

from collections.abc import Callable

OnViolation = Callable[[str, str], None]
"""Takes the name of the machine, empty for the whole network, and what did not hold there, in words."""
