"""How a judge says that something did not hold."""

from collections.abc import Callable

OnViolation = Callable[[str, str], None]
"""Takes the place, mostly a machine's name, and what did not hold there, in words."""
