"""What text encoders say of a prompt, in the form in which a U-Net takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdrt import validation
from sdrt.arrays import Array, Embeddings
from sdrt.errors import UnsupportedError
from sdrt.manifest import (
    HIDDEN_STATES,
    LAYER_STATES,
    Manifest,
    TextEncoder,
)

MAX_CLIP_SKIP = 64  # where the artifact does not say how deep its text encoder is


@dataclass(frozen=True)
class TextConditioning:
    """A prompt's embeddings."""

    states: Embeddings
    """(images, tokens, width); of several encoders, their states side by side."""
    pooled: Embeddings | None = None
    """(images, width), of the whole prompt, where an encoder gives such an embedding."""

    @classmethod
    def joined(cls, texts: Sequence["TextConditioning"]) -> "TextConditioning":
        """What several encoders say of one prompt."""
        states = np.concatenate([one.states for one in texts], axis=2)
        pooled = (one.pooled for one in texts if one.pooled is not None)
        return cls(states, next(pooled, None))

    def repeated(self, images: int) -> "TextConditioning":
        """A row for each of so many images, where there is one for all."""
        states, pooled = (
            None if one is None else np.repeat(one, images // len(one), axis=0)
            for one in (self.states, self.pooled)
        )
        assert states is not None
        return TextConditioning(states, pooled)

    def zeros(self) -> "TextConditioning":
        """Zeros of the same shapes."""
        pooled = None if self.pooled is None else np.zeros_like(self.pooled)
        return TextConditioning(np.zeros_like(self.states), pooled)


def states_of(outputs: Mapping[str, Array], encoder: TextEncoder, layer: int = 1) -> Embeddings:
    """What a text encoder says in one of its layers, (chunks, tokens, width).

    Layers are counted from the one that the U-Net was trained with, which is 1.
    """
    count = sum(name.startswith(HIDDEN_STATES) for name in outputs)
    if count and encoder.layer == "penultimate":
        return outputs[f"{HIDDEN_STATES}{count - 1 - layer}"]
    if layer == 1:
        return outputs["last_hidden_state"]
    return outputs[LAYER_STATES][:, -layer]


def checked_clip_skip(manifest: Manifest, value: object) -> int:
    """The number itself; raises `UsageError` for one that no model of this depth has.

    Raises `UnsupportedError` where the artifact gives the last layer only.
    """
    if manifest.text_layers > 1:
        return validation.whole("clip_skip", value, 1, manifest.text_layers)
    if validation.whole("clip_skip", value, 1, MAX_CLIP_SKIP) > 1:
        raise UnsupportedError(
            f"clip_skip is {value}, and the model {manifest.name!r} gives only the last layer of "
            "its text encoder; leave clip_skip out, or export the model again with this sdrt"
        )
    return 1
