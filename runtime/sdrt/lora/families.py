"""Which Stable Diffusion a LoRA was trained on: told by the widths of its matrices, or by names."""

import re
from collections.abc import Iterable, Mapping

from sdrt.lora.names import Layers, Shape, recognised, split

WIDTHS = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL's refiner",
}
"""Of what text encoders say, as cross-attention meets it."""

ONE_ENCODER = ((r"lora_te_", "Stable Diffusion 1 or 2"),)
TWO_ENCODERS = (
    (
        r"lora_te[12]_|text_encoder_2\.|label_emb|add_embedding|transformer_blocks[._][1-9]",
        "Stable Diffusion XL",
    ),
)
"""Names that models with one text encoder have, and those with two."""

_CROSS_ATTENTION = re.compile(r"attn2_to_[kv]$")


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
    return next(recognised(unknown, ONE_ENCODER if has_two else TWO_ENCODERS), None)


def _width(layers: Layers) -> int | None:
    """What the model's cross-attention takes."""
    found = (layer for name, (layer, *_) in layers.items() if _CROSS_ATTENTION.search(name))
    layer = next(found, None)
    return layer.shape[1] if layer else None
