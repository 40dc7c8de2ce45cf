"""Folders of ControlNets for fake engines: a manifest, and files that nobody reads."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.artifact.controlnet import CONTROLNET, HINT, ControlNetManifest
from sdrt.backends.residuals import residual_names
from sdrt.manifest import MANIFEST_NAME, FileRecord, GraphSpec, Source, TensorSpec
from tests.runtime.fakes import TINY_WIDTH, pretend_tiny

CHANNELS, LEVELS = (8, 8, 8, 16, 16), (0, 0, 1, 1, 1)  # of the tiny model's U-Net
NAMES = residual_names(len(CHANNELS))


def write_controlnet(root: Path, **changes: Any) -> Path:
    """A folder of a ControlNet for the tiny model, with other fields in its manifest."""
    (root / CONTROLNET).mkdir(parents=True)
    files = [f"{CONTROLNET}/model.onnx", f"{CONTROLNET}/openvino_model.xml"]
    for file in files:
        (root / file).write_bytes(b"graph")
    width = changes.pop("width", TINY_WIDTH)
    shapes: dict[str, tuple[int | str, ...]] = {
        "sample": ("batch", 4, "height", "width"),
        "timestep": (),
        "encoder_hidden_states": ("batch", "tokens", width),
        HINT: ("batch", 3, "image_height", "image_width"),
    }
    inputs = [TensorSpec(name=n, dtype="float32", shape=s) for n, s in shapes.items()]
    outputs = [
        TensorSpec(name=name, dtype="float32", shape=("batch", channels, f"h{i}", f"w{i}"))
        for i, (name, channels) in enumerate(zip(NAMES, CHANNELS, strict=True))
    ]
    spec = GraphSpec(
        files={"onnx": (files[0],), "openvino": (files[1],)},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
    record = FileRecord(size=5, sha256=hashlib.sha256(b"graph").hexdigest())
    manifest = ControlNetManifest(
        name=root.name,
        family="sd1",
        source=Source(id="fake"),
        precision="fp32",
        levels=LEVELS,
        graphs={CONTROLNET: spec},
        files=dict.fromkeys(files, record),
    ).model_copy(update=changes)
    (root / MANIFEST_NAME).write_text(manifest.to_json())
    return root


def pretend_controlled(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """The tiny model's networks, its U-Net with residuals, and ControlNets.

    A ControlNet gives its hint's mean brightness; the U-Net adds the mean of all that it is given.
    """
    if name.startswith(CONTROLNET):
        rows, _, height, width = feeds["sample"].shape
        level = feeds[HINT].mean(axis=(1, 2, 3))
        sizes = [(-(-height // 2**halvings), -(-width // 2**halvings)) for halvings in LEVELS]
        return {
            residual: np.ones((rows, channels, *size), np.float32) * level[:, None, None, None]
            for residual, channels, size in zip(NAMES, CHANNELS, sizes, strict=True)
        }
    outputs = dict(pretend_tiny(name, feeds))
    if NAMES[0] in feeds:
        added = sum(feeds[residual].mean(axis=(1, 2, 3)) for residual in NAMES)
        outputs["out_sample"] = outputs["out_sample"] + added[:, None, None, None]
    return outputs
