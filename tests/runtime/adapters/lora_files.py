"""Random LoRAs of an exported model, in files as kohya's scripts write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdrt.arrays import Array, Floats
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.files.safetensors import write_tensors

Tensors = dict[str, Array]
Key = tuple[str, str]
"""Network and path of a layer."""

RANK, ALPHA = 4, 6.0
LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),
    *("proj_in", "proj_out", "conv1", "time_emb_proj", "conv_shortcut", "conv_out"),
    *("downsamplers.0.conv", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
)
"""How the paths of the layers end that a random LoRA changes."""


@dataclass(frozen=True)
class Pair:
    """The two factors of a layer's change: (rank, in...) and (out, rank...)."""

    down: Floats
    up: Floats


def random_lora(artifact: Artifact, size: float = 0.1) -> dict[Key, Pair]:
    """For attention, feed-forward and convolutions of 1x1 and 3x3, in both networks."""
    rng, backend, pairs = np.random.default_rng(5), open_backend("onnxruntime"), {}
    for part in ("text_encoder", "unet"):
        for path, shape in backend.layers(artifact.network(part, backend.formats)).items():
            if path.endswith(LAYERS):
                out, *rest = shape
                down = rng.standard_normal((RANK, *rest), np.float32) * np.float32(size)
                ones = [1] * (len(rest) - 1)
                up = rng.standard_normal((out, RANK, *ones), np.float32) * np.float32(size)
                pairs[part, path] = Pair(down, up)
    return pairs


def kohya(lora: Mapping[Key, Pair]) -> Tensors:
    """Arrays by the names that kohya's scripts give them."""
    tensors: Tensors = {}
    starts = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
    for (part, path), pair in lora.items():
        name = starts[part] + path.removeprefix("text_model.").replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = pair.down
        tensors[f"{name}.lora_up.weight"] = pair.up
        tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
    return tensors


def save(path: Path, tensors: Mapping[str, Array]) -> Path:
    """Write arrays to a file, whose path is given back."""
    write_tensors(path, tensors, {})
    return path
