"""What a PEFT adapter says beside its tensors: its alphas, which other schemes keep as tensors."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.adapters.lora_names import PARTS, Layer, Part
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.json_file import read_json
from sdrt.files.safetensors import TensorFile

IN_FILE, BESIDE = "lora_adapter_metadata", "adapter_config.json"
PLAIN = re.compile(r"\^?[\w.\\]+\$?")


@dataclass(frozen=True)
class Scaling:
    """The alpha of each layer of a network, where the adapter says it."""

    alpha: float | None = None
    """Of all layers without one of their own; the rank if nobody says it."""
    own: Mapping[str, float] | None = None
    """By the end of a layer's name."""
    by_root: bool = False
    """Divided by the root of the rank ("rsLoRA", Kalajdzievski 2023, arXiv 2312.03732)."""

    def factor(self, layer: Layer, rank: int) -> float:
        """What the product of the two matrices is multiplied by."""
        alpha = self.alpha
        for end, value in (self.own or {}).items():
            if layer.path == end or f".{layer.path}".endswith(f".{end}"):
                alpha = value
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def read_scaling(file: TensorFile, is_peft: bool) -> dict[Part, Scaling]:
    """From the file's metadata as diffusers writes them, or from PEFT's configuration beside it.

    Raises `ArtifactError` for metadata that are no such thing.
    """
    path, text = file.path, file.metadata.get(IN_FILE)
    if text is not None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{path}: its {IN_FILE} is not valid JSON") from error
        if not isinstance(said, dict):
            raise ArtifactError(f"{path}: its {IN_FILE} is no JSON object")
        return {part: _scaling(path, _below(f"{part}.", said)) for part in PARTS}
    said = read_json(path.with_name(BESIDE)) if is_peft else None
    one = _scaling(path.with_name(BESIDE), said) if isinstance(said, dict) else Scaling()
    return dict.fromkeys(PARTS, one)


def _below(start: str, said: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(start): said[key] for key in said if key.startswith(start)}


def _scaling(path: Path, said: Mapping[str, Any]) -> Scaling:
    own = said.get("alpha_pattern") or {}
    if not isinstance(own, dict):
        raise ArtifactError(f"{path}: alpha_pattern is {own!r}; expected names with numbers")
    for name in own:
        if not PLAIN.fullmatch(name):
            raise UnsupportedError(
                f"{path}: alpha_pattern has the expression {name!r}; sdrt reads names of layers"
            )
    alpha = said.get("lora_alpha")
    return Scaling(
        None if alpha is None else _number(path, "lora_alpha", alpha),
        {re.sub(r"[\^$\\]", "", name): _number(path, name, value) for name, value in own.items()},
        bool(said.get("use_rslora")),
    )


def _number(path: Path, name: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        raise ArtifactError(f"{path}: {name} is {value!r}; expected a finite number")
    return float(value)  # type: ignore[arg-type]
