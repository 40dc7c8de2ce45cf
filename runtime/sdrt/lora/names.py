"""Names of a LoRA's tensors, as kohya's trainer, diffusers and PEFT write them -> layers.

Not translated rule by rule: a name without its ends, dots written as kohya's underscores, is looked
up among the layers that the networks really have.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sdrt.unet_names import Config, renamed, unet_names

Part = Literal["text_encoder", "unet"]
Role = Literal["down", "up", "alpha"]
Shape = tuple[int, ...]

PARTS: tuple[Part, ...] = ("text_encoder", "unet")
PEFT = "base_model.model."
STARTS: dict[str, Part] = {
    "lora_unet_": "unet",
    "unet.": "unet",
    "lora_te_": "text_encoder",
    "text_encoder.": "text_encoder",
}

OTHER_MODELS = (
    (r"lora_te[12]_|text_encoder_2\.|label_emb|add_embedding", "Stable Diffusion XL"),
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux"),
    (r"joint_blocks|lora_te3_|text_encoder_3\.", "Stable Diffusion 3"),
    (r"lora_transformer_|(^|\.)transformer\.", "a transformer (Stable Diffusion 3, Flux...)"),
    (r"lora_prior_", "Stable Cascade"),
    (r"transformer_blocks[._][1-9]", "Stable Diffusion XL"),
)
"""What LoRAs of other architectures name; the first that occurs says it best."""

OTHER_KINDS = (
    (r"hada_", "LoHa (hada_)"),
    (r"lokr_", "LoKr (lokr_)"),
    (r"dora_scale|lora_magnitude_vector", "DoRA (dora_scale, lora_magnitude_vector)"),
    (r"lora_mid", "LoCon with a convolution in the middle (lora_mid)"),
    (r"\boft_|\bboft_", "OFT (oft_)"),
    (r"\.diff(_b)?$", "whole differences (diff)"),
    (r"lora_B(\.\w+)?\.bias$", "biases (lora_B.bias)"),
)
"""Relatives of LoRA that are more than two matrices."""

_ENDS: tuple[tuple[str, Role], ...] = (
    (r"(\.lora_down|\.lora_A(\.\w+)?|[._]lora\.down|\.lora_linear_layer\.down)\.weight", "down"),
    (r"(\.lora_up|\.lora_B(\.\w+)?|[._]lora\.up|\.lora_linear_layer\.up)\.weight", "up"),
    (r"(\.lora)?\.alpha", "alpha"),
)
_OLD_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution of a network."""

    part: Part
    path: str
    """Its name among the network's modules."""
    shape: Shape
    """Of its weight: (out, in), or (out, in, height, width)."""


Layers = Mapping[tuple[Part, str], Layer]
"""By network and name, dots written as underscores; a layer may have several names."""


def layers_of(
    part: Part, shapes: Mapping[str, Shape], unet: Config | None = None
) -> Iterator[tuple[tuple[Part, str], Layer]]:
    """Entries of `Layers` for one network, under every name that trainers give its layers.

    `shapes` are those of its layers' weights, `unet` is diffusers' configuration of a U-Net, whose
    layers some trainers call as the original code does.
    """
    old = {ours: theirs for theirs, ours in unet_names(unet).items()} if unet else {}
    for path, shape in shapes.items():
        layer = Layer(part, path, shape)
        names = {path, renamed(path, old)}
        if part == "text_encoder":  # as older versions of transformers have it
            names.add(f"text_model.{path}")
        for name in names:
            yield (part, _flat(name)), layer


def find(name: str, layers: Layers) -> tuple[Layer, Role] | None:
    """The layer that a tensor belongs to, and what it is there; nothing for unknown names."""
    ends = ((re.search(f"{pattern}$", name), role) for pattern, role in _ENDS)
    match, role = next((one for one in ends if one[0]), (None, None))
    if match is None or role is None:
        return None
    text, parts = name[: match.start()].removeprefix(PEFT), PARTS
    for start, part in STARTS.items():
        if text.startswith(start):
            text, parts = text.removeprefix(start), (part,)
            break
    found = [layers.get((part, _flat(_current(text)))) for part in parts]
    return next(((layer, role) for layer in found if layer), None)


def recognised(
    names: Iterable[str], patterns: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Each thing that a pattern stands for, with the first name that shows it."""
    names = list(names)
    for pattern, what in patterns:
        if example := next((name for name in names if re.search(pattern, name)), None):
            yield what, example


def _current(name: str) -> str:
    """Replace how diffusers named attention while LoRAs were processors of it."""
    name = name.replace(".processor", "")
    before, _, last = name.rpartition(".")
    if before.endswith("self_attn") and last in _OLD_ATTENTION:
        return f"{before}.{_OLD_ATTENTION[last]}"
    return f"{name}.0" if last == "to_out" else name


def _flat(name: str) -> str:
    return name.replace(".", "_")
