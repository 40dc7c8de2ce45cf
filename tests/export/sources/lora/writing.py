"""Random LoRAs, and how each scheme writes them; spelled out, so that no table of ours helps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from sdrt_export.sources.checkpoint import Checkpoint

Tensors = dict[str, torch.Tensor]
Key = tuple[str, str]
"""Network and path of a layer."""

RANK, ALPHA = 4, 6.0


@dataclass(frozen=True)
class Pair:
    """Of one layer: (rank, in...) and (out, rank...)."""

    down: torch.Tensor
    up: torch.Tensor


ENDS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),
    *("proj_in", "proj_out", "conv1", "time_emb_proj", "conv_shortcut", "conv_out"),
    *("downsamplers.0.conv", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
)


def random_lora(
    checkpoint: Checkpoint, size: float = 0.1, ends: tuple[str, ...] = ENDS
) -> dict[Key, Pair]:
    """For attention, feed-forward and convolutions of 1x1 and 3x3, in all networks."""
    generator, pairs = torch.Generator().manual_seed(5), {}
    for part in (*checkpoint.text_encoders, "unet"):
        for path, module in getattr(checkpoint, part)().named_modules():
            if path.endswith(ends):
                out, *rest = module.weight.shape
                ones = [1] * (len(rest) - 1)
                down = torch.randn(RANK, *rest, generator=generator) * size
                up = torch.randn(out, RANK, *ones, generator=generator) * size
                pairs[part, path] = Pair(down, up)
    return pairs


def kohya(lora: Mapping[Key, Pair]) -> Tensors:
    tensors: Tensors = {}
    has_two = any(part == "text_encoder_2" for part, _ in lora)
    starts = {
        "unet": "lora_unet_",
        "text_encoder": "lora_te1_text_model_" if has_two else "lora_te_text_model_",
        "text_encoder_2": "lora_te2_text_model_",
    }
    for (part, path), pair in lora.items():
        name = starts[part] + path.removeprefix("text_model.").replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = pair.down
        tensors[f"{name}.lora_up.weight"] = pair.up
        tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
    return tensors


def diffusers(lora: Mapping[Key, Pair]) -> Tensors:
    tensors: Tensors = {}
    for (part, path), pair in lora.items():
        name = f"unet.{path}.lora"
        if part != "unet":
            name = f"{part}.text_model.{path.removeprefix('text_model.')}.lora_linear_layer"
        tensors |= {f"{name}.down.weight": pair.down, f"{name}.up.weight": pair.up}
    return tensors


def processors(lora: Mapping[Key, Pair]) -> Tensors:
    """diffusers as it was at first: attention only."""
    tensors: Tensors = {}
    text = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    for (part, path), pair in lora.items():
        before, _, last = path.removesuffix(".0").rpartition(".")
        name = f"unet.{before}.processor.{last}_lora"
        if part != "unet":
            inner = before.removeprefix("text_model.")
            name = f"{part}.text_model.{inner}.{text[last]}_lora"
        tensors |= {f"{name}.down.weight": pair.down, f"{name}.up.weight": pair.up}
    return tensors


def peft(lora: Mapping[Key, Pair]) -> Tensors:
    tensors: Tensors = {}
    for (_, path), pair in lora.items():
        name = f"base_model.model.{path}"
        tensors |= {f"{name}.lora_A.weight": pair.down, f"{name}.lora_B.weight": pair.up}
    return tensors


def save(path: Path, tensors: Mapping[str, torch.Tensor], **metadata: object) -> Path:
    text = {name: json.dumps(value) for name, value in metadata.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, text or None)
    return path


def save_peft(folder: Path, lora: Mapping[Key, Pair], **config: object) -> Path:
    """As PEFT does: one folder for each network."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return save(folder / "adapter_model.safetensors", peft(lora))
