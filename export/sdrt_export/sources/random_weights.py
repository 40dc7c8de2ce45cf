"""Random weights of a preset's geometry."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import CLIPTokenizer

from sdrt.artifact.diffusers_config import read_zeros_for_empty_prompt
from sdrt.errors import UsageError
from sdrt.manifest import Source
from sdrt_export.presets import CLASS, DEFAULT_SCHEDULER, Preset
from sdrt_export.sources.checkpoint import BUILD, Checkpoint, fitting_tokenizer


@dataclass(frozen=True)
class RandomCheckpoint(Checkpoint):
    """Random weights of a geometry: right in speed and memory, meaningless as a model."""

    seed: int = 0

    @classmethod
    def from_preset(cls, name: str, preset: Preset) -> "RandomCheckpoint":
        """A checkpoint of a preset's geometry, whose networks are made on demand."""
        geometry = preset.geometry
        if geometry is None:
            raise UsageError(f"preset {name!r} has no geometry to fill with random weights")
        configs = {part: c for part, c in geometry.model_dump().items() if c is not None}
        configs["scheduler"] = {CLASS: DEFAULT_SCHEDULER, **geometry.scheduler}
        return cls(
            name,
            Source(id=f"random:{name}"),
            configs,
            prediction_source="the preset",
            zeros_for_empty_prompt=read_zeros_for_empty_prompt({}, configs),
        )

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """CLIP's own where its vocabulary fits, else one that knows single bytes only."""
        return fitting_tokenizer(self.configs[encoder])

    def network(self, part: str) -> Any:
        """Make a network."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            try:
                return BUILD[part](self.configs[part]).eval().requires_grad_(False)
            except (TypeError, ValueError) as error:
                raise UsageError(f"preset {self.name}, geometry.{part}: {error}") from error
