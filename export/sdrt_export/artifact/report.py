"""The result of an export: the artifact, its cost, and both as a record and as a line of text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.artifact.controlnet import CONTROLNET, ControlNetManifest
from sdrt.manifest import Manifest


@dataclass(frozen=True)
class Report:
    """The exported artifact's manifest, and what the export cost."""

    path: Path
    """The folder of the artifact."""
    manifest: Manifest
    """The manifest that was published."""
    seconds: float
    """The time that the export took."""
    peak_bytes: int
    """The largest resident memory of the process."""

    @property
    def size(self) -> int:
        """Bytes of all files of the artifact."""
        return sum(file.size for file in self.manifest.files.values())

    def record(self) -> dict[str, Any]:
        """The report as plain values."""
        graphs = self.manifest.graphs.items()
        return {
            "path": str(self.path),
            "precision": self.manifest.precision,
            "family": self.manifest.family,
            "prediction": self.manifest.prediction,
            "loras": [lora.model_dump() for lora in self.manifest.source.loras],
            "bytes": self.size,
            "parity_db": {name: graph.parity_db for name, graph in graphs},
            "seconds": round(self.seconds, 1),
            "peak_bytes": self.peak_bytes,
        }

    def summary(self) -> str:
        """The report as one line."""
        loras = [f"with {lora.file}:{lora.weight:g}, " for lora in self.manifest.source.loras]
        return (
            f"{self.path}: {self.manifest.precision}, {self.manifest.prediction}, "
            f"{''.join(loras)}"
            f"{self.size / 1e6:.1f} MB, "
            f"in {self.seconds:.0f} s with at most {self.peak_bytes / 1e9:.2f} GB of memory"
        )


@dataclass(frozen=True)
class ControlNetReport:
    """The exported ControlNet's manifest, and what the export cost."""

    path: Path
    """The folder of the ControlNet."""
    manifest: ControlNetManifest
    """The manifest that was published."""
    seconds: float
    """The time that the export took."""
    peak_bytes: int
    """The largest resident memory of the process."""

    @property
    def size(self) -> int:
        """Bytes of all files of the folder."""
        return sum(file.size for file in self.manifest.files.values())

    def record(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "path": str(self.path),
            "kind": self.manifest.kind,
            "precision": self.manifest.precision,
            "family": self.manifest.family,
            "bytes": self.size,
            "parity_db": {CONTROLNET: self.manifest.graph.parity_db},
            "seconds": round(self.seconds, 1),
            "peak_bytes": self.peak_bytes,
        }

    def summary(self) -> str:
        """The report as one line."""
        return (
            f"{self.path}: a ControlNet for {self.manifest.family}, {self.manifest.precision}, "
            f"{self.size / 1e6:.1f} MB, "
            f"in {self.seconds:.0f} s with at most {self.peak_bytes / 1e9:.2f} GB of memory"
        )
