"""Networks that are computed by numpy, in the shapes of the models that the tests use."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from sdrt.arrays import Array

SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 3}
"""Options of a run that is over soon."""
TINY_WIDTH, DEMO_WIDTH = 16, 128
EMBEDS = np.zeros((1, 77, TINY_WIDTH), np.float32)


def pretend_tiny(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Networks in the shapes of the tiny model; results depend on every image and prompt."""
    if name == "text_encoder":
        ids = feeds["input_ids"].astype(np.float32)
        last = np.repeat(ids[:, :, None] / 600, TINY_WIDTH, axis=2)
        return {"last_hidden_state": last, "layer_states": np.stack([last / 2, last], axis=1)}
    if name == "unet":
        states = feeds["encoder_hidden_states"].mean(axis=2)
        level = (states * np.linspace(0, 2, states.shape[1], dtype=np.float32)).mean(axis=1)
        return {"out_sample": np.tanh(feeds["sample"]) + level[:, None, None, None]}
    sample = feeds["latent_sample"]
    picture = np.repeat(np.repeat(sample[:, :3], 8, axis=2), 8, axis=3)
    return {"sample": np.tanh(picture)}


def pretend_demo(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Networks in the shapes of the embedded model."""
    if name == "text_encoder":
        ids = feeds["input_ids"].astype(np.float32)
        last = np.repeat(np.sin(ids)[:, :, None], DEMO_WIDTH, axis=2)
        return {"last_hidden_state": last, "layer_states": np.stack([last / 2, last], axis=1)}
    if name == "unet":
        level = feeds["encoder_hidden_states"].mean(axis=(1, 2))
        return {"out_sample": np.tanh(feeds["sample"]) + level[:, None, None, None]}
    sample = feeds["latent_sample"]
    return {"sample": np.tanh(sample[:, :3].repeat(8, axis=2).repeat(8, axis=3))}


def pixels(image: Image.Image) -> np.ndarray:
    """An image as whole numbers that can be subtracted."""
    return np.asarray(image).astype(np.int16)
