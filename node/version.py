"""The version of the installed dnarc.

It is read once in each process. Python parses the package's metadata for it, which takes 2 ms.
"""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("dnarc")
