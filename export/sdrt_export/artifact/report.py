"""The result of an export: the folder, its cost, and both as a record and as a line of text."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from sdrt.artifact.controlnet import ControlNetManifest
from sdrt.manifest import Manifest
from sdrt_export.artifact.staging import AnyManifest


@dataclass(frozen=True)
class FolderReport(ABC, Generic[AnyManifest]):
    """The manifest of an exported folder, and what the export cost."""

    path: Path
    """The folder."""
    manifest: AnyManifest
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
        graphs = self.manifest.graphs.items()
        return {
            "path": str(self.path),
            **self._facts(),
            "bytes": self.size,
            "parity_db": {name: graph.parity_db for name, graph in graphs},
            "seconds": round(self.seconds, 1),
            "peak_bytes": self.peak_bytes,
        }

    def summary(self) -> str:
        """The report as one line."""
        return (
            f"{self.path}: {self._kind()}, {self.size / 1e6:.1f} MB, "
            f"in {self.seconds:.0f} s with at most {self.peak_bytes / 1e9:.2f} GB of memory"
        )

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """What the record says of the kind of folder."""

    @abstractmethod
    def _kind(self) -> str:
        """What the summary says of it."""


@dataclass(frozen=True)
class Report(FolderReport[Manifest]):
    """The exported artifact's manifest, and what the export cost."""

    def _facts(self) -> dict[str, Any]:
        return {
            "precision": self.manifest.precision,
            "family": self.manifest.family,
            "prediction": self.manifest.prediction,
            "loras": [lora.model_dump() for lora in self.manifest.source.loras],
        }

    def _kind(self) -> str:
        loras = [f", with {lora.file}:{lora.weight:g}" for lora in self.manifest.source.loras]
        return f"{self.manifest.precision}, {self.manifest.prediction}{''.join(loras)}"


@dataclass(frozen=True)
class ControlNetReport(FolderReport[ControlNetManifest]):
    """The exported ControlNet's manifest, and what the export cost."""

    def _facts(self) -> dict[str, Any]:
        return {
            "kind": self.manifest.kind,
            "precision": self.manifest.precision,
            "family": self.manifest.family,
        }

    def _kind(self) -> str:
        return f"a ControlNet for {self.manifest.family}, {self.manifest.precision}"
