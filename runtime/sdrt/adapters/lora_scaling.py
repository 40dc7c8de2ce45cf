"""Alphas of a PEFT adapter, which are in its configuration; other formats keep them as tensors."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.adapters.lora_names import LORA_NETWORKS, LoraNetwork, TargetLayer
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.safetensors import TensorFile
from sdrt.files.text_file import read_json

METADATA_KEY, CONFIG_NAME = "lora_adapter_metadata", "adapter_config.json"
PLAIN = re.compile(r"\^?[\w.\\]+\$?")


@dataclass(frozen=True)
class Scaling:
    """The alphas of a network's layers."""

    alpha: float | None = None
    """The alpha of layers that `layer_alphas` does not name; None stands for the rank."""
    layer_alphas: Mapping[str, float] | None = None
    """Alphas of single layers, by the end of the layer's name."""
    by_root: bool = False
    """Whether alpha is divided by the square root of the rank, not by the rank.

    That is "rsLoRA" (Kalajdzievski 2023, arXiv 2312.03732).
    """

    def factor(self, layer: TargetLayer, rank: int) -> float:
        """The factor of the product of the two matrices."""
        alpha = self.alpha
        for end, value in (self.layer_alphas or {}).items():
            if layer.path == end or f".{layer.path}".endswith(f".{end}"):
                alpha = value
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def read_scaling(file: TensorFile, is_peft: bool) -> dict[LoraNetwork, Scaling]:
    """Read the file's metadata, as diffusers writes them, or PEFT's configuration next to it.

    Raises `ArtifactError` for metadata of another form.
    """
    path, text = file.path, file.metadata.get(METADATA_KEY)
    if text is not None:
        try:
            config = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{path}: its {METADATA_KEY} is not valid JSON") from error
        if not isinstance(config, dict):
            raise ArtifactError(f"{path}: its {METADATA_KEY} is no JSON object")
        return {name: _scaling(path, _below(f"{name}.", config)) for name in LORA_NETWORKS}
    config_path = path.with_name(CONFIG_NAME)
    config = read_json(config_path) if is_peft else None
    scaling = _scaling(config_path, config) if isinstance(config, dict) else Scaling()
    return dict.fromkeys(LORA_NETWORKS, scaling)


def _below(prefix: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): config[key] for key in config if key.startswith(prefix)}


def _scaling(path: Path, config: Mapping[str, Any]) -> Scaling:
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise ArtifactError(f"{path}: alpha_pattern is {patterns!r}; expected names with numbers")
    for name in patterns:
        if not PLAIN.fullmatch(name):
            raise UnsupportedError(
                f"{path}: alpha_pattern has the expression {name!r}; sdrt reads names of layers"
            )
    alpha = config.get("lora_alpha")
    return Scaling(
        None if alpha is None else _number(path, "lora_alpha", alpha),
        {
            re.sub(r"[\^$\\]", "", name): _number(path, name, value)
            for name, value in patterns.items()
        },
        bool(config.get("use_rslora")),
    )


def _number(path: Path, name: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        raise ArtifactError(f"{path}: {name} is {value!r}; expected a finite number")
    return float(value)  # type: ignore[arg-type]
