"""From names of a LoRA's tensors, as kohya's trainer, diffusers and PEFT write them, to layers.

There are no rules of translation: a name without prefix and suffix, its dots written as kohya's
underscores, is looked up among the layers that the networks really have.
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
"""Models by the width of the text embeddings that their cross-attention takes."""
MODELS_WITH_ONE_ENCODER = ((r"lora_te_", "Stable Diffusion 1 or 2"),)
MODELS_WITH_TWO_ENCODERS = (
    (
        r"lora_te[12]_|text_encoder_2\.|label_emb|add_embedding|transformer_blocks[._][1-9]",
        "Stable Diffusion XL",
    ),
)
"""Patterns of names that show a model with one text encoder, and with two."""
_CROSS_ATTENTION = re.compile(r"attn2_to_[kv]$")

LoraNetwork = Literal["text_encoder", "text_encoder_2", "unet"]
TensorRole = Literal["down", "up", "alpha"]
Shape = tuple[int, ...]

LORA_NETWORKS: tuple[LoraNetwork, ...] = ("text_encoder", "text_encoder_2", "unet")
PEFT = "base_model.model."
ONE_ENCODER = {"text_encoder": "lora_te_"}
TWO_ENCODERS = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
"""Kohya's prefixes of text encoders; they distinguish Stable Diffusion XL from 1 and 2."""

OTHER_MODELS = (
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux"),
    (r"joint_blocks|lora_te3_|text_encoder_3\.", "Stable Diffusion 3"),
    (r"lora_transformer_|(^|\.)transformer\.", "a transformer (Stable Diffusion 3, Flux...)"),
    (r"lora_prior_", "Stable Cascade"),
)
"""Patterns of names that show other architectures, the most reliable first."""

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

_SUFFIXES: tuple[tuple[str, TensorRole], ...] = (
    (r"(\.lora_down|\.lora_A(\.\w+)?|[._]lora\.down|\.lora_linear_layer\.down)\.weight", "down"),
    (r"(\.lora_up|\.lora_B(\.\w+)?|[._]lora\.up|\.lora_linear_layer\.up)\.weight", "up"),
    (r"(\.lora)?\.alpha", "alpha"),
)
_OLD_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(frozen=True)
class TargetLayer:
    """A linear layer or a convolution of a network."""

    network: LoraNetwork
    path: str
    """Its name among the network's modules."""
    shape: Shape
    """The shape of its weight: (out, in), or (out, in, height, width)."""


TargetLayers = Mapping[str, tuple[TargetLayer, ...]]
"""Layers by each of their names, dots written as underscores.

A name without a network, as PEFT writes it, may stand for layers of several.
"""


def layers_of(
    shapes: Mapping[LoraNetwork, Mapping[str, Shape]], unet: Config | None = None
) -> TargetLayers:
    """All layers of a model, with the names that LoRAs may have for them.

    `shapes` are those of the layers' weights, for each network. `unet` is diffusers' configuration
    of the U-Net, whose layers some trainers name as the original code does.
    """
    original = {ours: theirs for theirs, ours in unet_names(unet).items()} if unet else {}
    kohya = TWO_ENCODERS if "text_encoder_2" in shapes else ONE_ENCODER
    layers: dict[str, tuple[TargetLayer, ...]] = {}
    for network, sizes in shapes.items():
        prefixes = ("", f"{network}.", kohya.get(network, f"lora_{network}_"))
        for path, shape in sizes.items():
            names = {path, renamed(path, original)}
            if network != "unet":  # some classes of transformers have no such prefix
                names.add(f"text_model.{path.removeprefix('text_model.')}")
            for name in {_flat(prefix + name) for prefix in prefixes for name in names}:
                layers[name] = (*layers.get(name, ()), TargetLayer(network, path, shape))
    return layers


def split(name: str) -> tuple[str, TensorRole] | None:
    """The layer's name in a tensor's name, as in `TargetLayers`, and the tensor's role there."""
    for pattern, role in _SUFFIXES:
        if match := re.search(f"{pattern}$", name):
            return _flat(_current(name[: match.start()].removeprefix(PEFT))), role
    return None


def recognised(
    names: Iterable[str], patterns: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """The meaning of each pattern that matches, with the first name that it matches."""
    names = list(names)
    for pattern, meaning in patterns:
        if example := next((name for name in names if re.search(pattern, name)), None):
            yield meaning, example


def _current(name: str) -> str:
    """The present name of a layer that diffusers named as an attention processor."""
    name = name.replace(".processor", "")
    before, _, last = name.rpartition(".")
    if before.endswith("self_attn") and last in _OLD_ATTENTION:
        return f"{before}.{_OLD_ATTENTION[last]}"
    return f"{name}.0" if last == "to_out" else name


def _flat(name: str) -> str:
    return name.replace(".", "_")


def other_family(
    shapes: Mapping[str, Shape], unknown: Iterable[str], layers: TargetLayers
) -> tuple[str, str] | None:
    """The family of a LoRA and a tensor that shows it, if it is not the model's own.

    `shapes` are those of its tensors, `unknown` the names that the model does not have.
    """
    for name, shape in shapes.items():
        stem, role = split(name) or ("", "")
        is_wide = role == "down" and len(shape) > 1 and shape[1] in WIDTHS
        if is_wide and _CROSS_ATTENTION.search(stem):
            return (WIDTHS[shape[1]], name) if shape[1] != _width(layers) else None
    has_two = any(layer.network == "text_encoder_2" for same in layers.values() for layer in same)
    return next(
        recognised(unknown, MODELS_WITH_ONE_ENCODER if has_two else MODELS_WITH_TWO_ENCODERS), None
    )


def _width(layers: TargetLayers) -> int | None:
    """The width of the embeddings that the model's cross-attention takes."""
    matching = (layer for name, (layer, *_) in layers.items() if _CROSS_ATTENTION.search(name))
    layer = next(matching, None)
    return layer.shape[1] if layer else None
