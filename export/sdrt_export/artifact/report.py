"""What an export did, and what it cost."""

import resource
from dataclasses import dataclass
from pathlib import Path

from sdrt.manifest import Manifest


@dataclass(frozen=True)
class Report:
    """What an export did: the artifact's manifest, how long it took, how much memory."""

    path: Path
    manifest: Manifest
    seconds: float
    peak_bytes: int
    """Largest resident memory of the process."""


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
