"""Names of a LoRA's tensors, as kohya's trainer, diffusers and PEFT write them -> layers.

Not translated rule by rule: a name without its ends, dots written as kohya's underscores, is looked
up among the layers that the networks really have.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sdrt.adapters.unet_layer_names import Config, renamed, unet_names

WIDTHS = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL's refiner",
}
"""Of what text encoders say, as cross-attention meets it."""
MODELS_WITH_ONE_ENCODER = ((r"lora_te_", "Stable Diffusion 1 or 2"),)
MODELS_WITH_TWO_ENCODERS = (
    (
        r"lora_te[12]_|text_encoder_2\.|label_emb|add_embedding|transformer_blocks[._][1-9]",
        "Stable Diffusion XL",
    ),
)
"""Names that models with one text encoder have, and those with two."""
_CROSS_ATTENTION = re.compile(r"attn2_to_[kv]$")

Part = Literal["text_encoder", "text_encoder_2", "unet"]
Role = Literal["down", "up", "alpha"]
Shape = tuple[int, ...]

PARTS: tuple[Part, ...] = ("text_encoder", "text_encoder_2", "unet")
PEFT = "base_model.model."
ONE_ENCODER = {"text_encoder": "lora_te_"}
TWO_ENCODERS = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
"""How kohya's names of text encoders begin; they tell Stable Diffusion XL from 1 and 2."""

OTHER_MODELS = (
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux"),
    (r"joint_blocks|lora_te3_|text_encoder_3\.", "Stable Diffusion 3"),
    (r"lora_transformer_|(^|\.)transformer\.", "a transformer (Stable Diffusion 3, Flux...)"),
    (r"lora_prior_", "Stable Cascade"),
)
"""What LoRAs of other architectures name; the first that occurs says it best."""

OTHER_KINDS = (
    (r"hada_", "LoHa (hada_)"),
    (r"lokr_", "LoKr (lokr_)"),
    (r"dora_scale|lora_magnitude_vector", "DoRA (dora_scale, lora_magnitude_vector)"),
    (r"lora_mid", "LoCon with a convolution in the middle (lora_mid)"),
    (r"\boft_|\bboft_", "OFT (oft_)"),
    (r"on_input$", "IA3 (on_input)"),
    (r"[wb]_norm$", "changes of norms (w_norm, b_norm)"),
    (r"\.diff(_b)?$", "whole differences (diff)"),
    (r"lora_B(\.\w+)?\.bias$", "biases (lora_B.bias)"),
    (r"^bundle_emb\.", "embeddings in the same file (bundle_emb)"),
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


Layers = Mapping[str, tuple[Layer, ...]]
"""Layers by each of their names, dots written as underscores.

A name that says no network, as PEFT writes it, may stand for layers of several.
"""


def layers_of(shapes: Mapping[Part, Mapping[str, Shape]], unet: Config | None = None) -> Layers:
    """All layers of a model, with the names that LoRAs may have for them.

    `shapes` are those of the layers' weights, for each network, `unet` is diffusers' configuration
    of the U-Net, whose layers some trainers call as the original code does.
    """
    old = {ours: theirs for theirs, ours in unet_names(unet).items()} if unet else {}
    kohya = TWO_ENCODERS if "text_encoder_2" in shapes else ONE_ENCODER
    found: dict[str, tuple[Layer, ...]] = {}
    for part, sizes in shapes.items():
        starts = ("", f"{part}.", kohya.get(part, f"lora_{part}_"))
        for path, shape in sizes.items():
            names = {path, renamed(path, old)}
            if part != "unet":  # transformers has left it away from some of its classes
                names.add(f"text_model.{path.removeprefix('text_model.')}")
            for name in {_flat(start + name) for start in starts for name in names}:
                found[name] = (*found.get(name, ()), Layer(part, path, shape))
    return found


def split(name: str) -> tuple[str, Role] | None:
    """What a tensor's name says of its layer, as `Layers` has it, and what it is there."""
    ends = ((re.search(f"{pattern}$", name), role) for pattern, role in _ENDS)
    match, role = next((one for one in ends if one[0]), (None, None))
    if match is None or role is None:
        return None
    return _flat(_current(name[: match.start()].removeprefix(PEFT))), role


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


def other_family(
    shapes: Mapping[str, Shape], unknown: Iterable[str], layers: Layers
) -> tuple[str, str] | None:
    """The family of a LoRA and a tensor that shows it, if it is not the model's own.

    `shapes` are those of its tensors, `unknown` the names that the model does not have.
    """
    for name, shape in shapes.items():
        stem, role = split(name) or ("", "")
        is_wide = role == "down" and len(shape) > 1 and shape[1] in WIDTHS
        if is_wide and _CROSS_ATTENTION.search(stem):
            return (WIDTHS[shape[1]], name) if shape[1] != _width(layers) else None
    has_two = any(layer.part == "text_encoder_2" for one in layers.values() for layer in one)
    return next(
        recognised(unknown, MODELS_WITH_ONE_ENCODER if has_two else MODELS_WITH_TWO_ENCODERS), None
    )


def _width(layers: Layers) -> int | None:
    """What the model's cross-attention takes."""
    found = (layer for name, (layer, *_) in layers.items() if _CROSS_ATTENTION.search(name))
    layer = next(found, None)
    return layer.shape[1] if layer else None
