"""A checkpoint in diffusers' layout: a folder for each component, and `model_index.json`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from sdrt.artifact.detect import describe
from sdrt.artifact.diffusers_config import (
    COMPONENTS,
    PIPELINES,
    TOKENIZERS,
    XL_COMPONENTS,
    XL_PIPELINES,
    is_xl,
    read_latent,
    read_zeros_for_empty_prompt,
)
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.text_file import read_json
from sdrt.manifest import Source
from sdrt_export.sources.checkpoint import (
    BUILD,
    LOAD,
    SIZE_CONDITIONING_WIDTHS,
    Checkpoint,
    Config,
    size_conditioning_width,
    unsupported_channels,
)
from sdrt_export.sources.diffusers_weights import explained, load_weights

NOT_IN_REFINER = ("text_encoder", "tokenizer")
SCHEDULER = re.compile(r"[A-Za-z]+Scheduler")
WEIGHTS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
"""What the names of each network's weight files begin with."""


@dataclass(frozen=True)
class FolderCheckpoint(Checkpoint):
    """A folder in diffusers' layout, with safetensors weights."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "FolderCheckpoint":
        """Check that the folder holds a model of Stable Diffusion 1, 2 or XL; loads no weights."""
        index = read_json(root / "model_index.json")
        if not isinstance(index, dict) or not describe(root).startswith("a diffusers checkpoint"):
            raise ArtifactError(
                f"{root} is {describe(root)}; expected a diffusers folder of Stable Diffusion"
            )
        listed = _check_index(root, index)
        configs = {part: _config(root / part / "config.json") for part in BUILD if part in listed}
        configs["scheduler"] = _config(root / "scheduler" / "scheduler_config.json")
        _check_architecture(root, configs)
        name = root.resolve().name
        zeros = read_zeros_for_empty_prompt(index, configs)
        return cls(name, Source(id=name), configs, root, zeros_for_empty_prompt=zeros)

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """Load the tokenizer of a text encoder."""
        name = TOKENIZERS[encoder]
        with explained(self.root / name):
            return CLIPTokenizer.from_pretrained(self.root / name, local_files_only=True)

    def network(self, part: str) -> Any:
        """Load a network in fp32."""
        cls, dtype = LOAD[part]
        return load_weights(cls, self.root / part, WEIGHTS[part], dtype)


def _check_index(root: Path, index: Config) -> tuple[str, ...]:
    """Compare `model_index.json` with the classes that sdrt loads; no other class is ever loaded.

    Returns the names of the components that the model has.
    """
    pipeline = index.get("_class_name")
    if pipeline not in (*PIPELINES, *XL_PIPELINES):
        raise UnsupportedError(
            f"{root} is a {pipeline}; sdrt exports Stable Diffusion 1, 2 and XL ({PIPELINES[0]}, "
            f"{XL_PIPELINES[0]})"
        )
    components = {**COMPONENTS, **(XL_COMPONENTS if pipeline in XL_PIPELINES else {})}
    if pipeline in XL_PIPELINES and index.get("text_encoder") == [None, None]:
        components = {name: c for name, c in components.items() if name not in NOT_IN_REFINER}
    for part, (library, names) in components.items():
        listed = index.get(part)
        if listed is None:
            raise ArtifactError(f"{root}/model_index.json lists no {part}; the model is incomplete")
        is_pair = isinstance(listed, list) and len(listed) == 2
        if not is_pair or listed[0] != library or listed[1] not in names:
            raise UnsupportedError(
                f"{root} has {listed!r} as {part}; expected {library}.{' or '.join(names)}"
            )
    scheduler = index.get("scheduler")
    if not isinstance(scheduler, list) or scheduler[0] != "diffusers":
        raise UnsupportedError(f"{root} has {scheduler!r} as scheduler; expected one of diffusers")
    if not SCHEDULER.fullmatch(str(scheduler[1])):
        raise UnsupportedError(f"{root} names {scheduler[1]!r} as scheduler, which is none")
    return tuple(components)


def _check_architecture(root: Path, configs: Mapping[str, Config]) -> None:
    """Raise `UnsupportedError` for relatives of Stable Diffusion 1, 2 and XL.

    They are told apart by their configurations. `read_latent` refuses some of their latents.
    """
    if "block_out_channels" in configs["vae"]:
        read_latent(root / "vae", configs["vae"])
    unet = configs["unet"]
    width = unet.get("cross_attention_dim")
    encoders = [configs[name] for name in TOKENIZERS if name in configs]
    kind = None
    if is_xl(unet) and "text_encoder_2" not in configs:
        kind = "Stable Diffusion XL without its second text encoder"
    elif not is_xl(unet) and "text_encoder_2" in configs:
        kind = "a U-Net of Stable Diffusion 1 or 2 with two text encoders"
    elif unet.get("addition_embed_type") and not is_xl(unet):
        kind = f"a U-Net with the condition {unet['addition_embed_type']!r}"
    elif unet.get("class_embed_type") or unet.get("encoder_hid_dim_type"):
        kind = "an unCLIP or image-conditioned U-Net"
    elif other := unsupported_channels(
        unet.get("in_channels", 4), unet.get("out_channels", 4), is_xl(unet)
    ):
        kind = other
    elif width != sum(encoder.get("hidden_size", 0) for encoder in encoders):
        kind = f"a U-Net for embeddings of width {width} with a text encoder of another width"
    elif is_xl(unet):
        numbers, expected = (
            size_conditioning_width(configs),
            SIZE_CONDITIONING_WIDTHS[len(encoders)],
        )
        if numbers != expected:
            kind = f"a U-Net with {numbers:g} numbers of size conditioning in place of {expected}"
    if kind:
        raise UnsupportedError(f"{root} is {kind}; sdrt exports Stable Diffusion 1, 2 and XL")


def _config(path: Path) -> Config:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is missing or not valid JSON; the model is incomplete")
    return content
