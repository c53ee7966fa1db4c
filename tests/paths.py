"""Where the checkout is, and where test vectors made by others are, if they are there."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

VECTORS: Final = ROOT.parent / "shared" / "vectors"
"""Not a part of the project: tests that use vectors are skipped where this folder is missing."""
