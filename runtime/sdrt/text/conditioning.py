"""Prompt conditioning: the outputs of text encoders as the inputs of a U-Net."""

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

MAX_CLIP_SKIP = 64  # for artifacts that do not say how deep their text encoder is


@dataclass(frozen=True)
class TextConditioning:
    """The embeddings of a prompt."""

    states: Embeddings
    """The token embeddings, (images, tokens, width); those of several encoders are concatenated
    along the width."""
    pooled: Embeddings | None = None
    """The pooled embedding of the whole prompt, (images, width); None if no encoder gives one."""

    @classmethod
    def joined(cls, texts: Sequence["TextConditioning"]) -> "TextConditioning":
        """The outputs of several encoders for one prompt as one."""
        states = np.concatenate([text.states for text in texts], axis=2)
        pooled = (text.pooled for text in texts if text.pooled is not None)
        return cls(states, next(pooled, None))

    def repeated(self, images: int) -> "TextConditioning":
        """One row for each of that many images, where one row stands for all."""
        pooled = None if self.pooled is None else _repeated(self.pooled, images)
        return TextConditioning(_repeated(self.states, images), pooled)

    def zeros(self) -> "TextConditioning":
        """Conditioning of the same shapes, all zeros."""
        pooled = None if self.pooled is None else np.zeros_like(self.pooled)
        return TextConditioning(np.zeros_like(self.states), pooled)


def _repeated(rows: Embeddings, images: int) -> Embeddings:
    return np.repeat(rows, images // len(rows), axis=0)


def states_of(outputs: Mapping[str, Array], encoder: TextEncoder, layer: int = 1) -> Embeddings:
    """The states after one of a text encoder's layers, (chunks, tokens, width).

    Layers are counted backwards from 1, the layer that the U-Net was trained with.
    """
    count = sum(name.startswith(HIDDEN_STATES) for name in outputs)
    if count and encoder.layer == "penultimate":
        return outputs[f"{HIDDEN_STATES}{count - 1 - layer}"]
    if layer == 1:
        return outputs["last_hidden_state"]
    return outputs[LAYER_STATES][:, -layer]


def checked_clip_skip(manifest: Manifest, value: object) -> int:
    """The layer itself; raises `UsageError` for a layer that the text encoder does not have.

    Raises `UnsupportedError` for any but the last where the artifact gives only that one.
    """
    if manifest.text_layers > 1:
        return validation.whole("clip_skip", value, 1, manifest.text_layers)
    if validation.whole("clip_skip", value, 1, MAX_CLIP_SKIP) > 1:
        raise UnsupportedError(
            f"clip_skip is {value}, and the model {manifest.name!r} gives only the last layer of "
            "its text encoder; leave clip_skip out, or export the model again with this sdrt"
        )
    return 1
