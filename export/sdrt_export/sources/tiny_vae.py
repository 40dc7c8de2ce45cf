"""The tiny autoencoder TAESD: a second, small decoder of the same latents.

It consists of 3x3 convolutions and ReLU, without norms and attention
(github.com/madebyollin/taesd). Only the decoder is used, to show latents.
"""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from safetensors import SafetensorError
from safetensors.torch import load_file

from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.text_file import read_json
from sdrt.manifest import Latent

WEIGHTS = "diffusion_pytorch_model.safetensors"
# In diffusers' names and in the original ones, where layer 0 is a clamp without weights.
DIFFUSERS, ORIGINAL = re.compile(r"decoder\.layers\.(.+)"), re.compile(r"(?:decoder\.)?(\d+)\.(.+)")

Weights = dict[str, torch.Tensor]


def open_tiny_vae(path: Path, latent: Latent) -> AutoencoderTiny:
    """Load a tiny autoencoder of these latents, from a diffusers folder or one `.safetensors` file.

    Its encoder is not loaded. Raises `ArtifactError`, or `UnsupportedError` for other latents.
    """
    config = _config(path) if path.is_dir() else {}
    weights = _decoder_weights(path / WEIGHTS if path.is_dir() else path)
    config.setdefault("latent_channels", weights["0.weight"].shape[1])
    try:
        vae: AutoencoderTiny = AutoencoderTiny.from_config(config)
        vae.decoder.layers.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{path} is no tiny autoencoder (TAESD): {text}") from error
    vae.encoder = torch.nn.Identity()
    blocks = vae.config["num_decoder_blocks"]
    channels, downscale = vae.config["latent_channels"], 2 ** (len(blocks) - 1)
    if (channels, downscale) != (latent.channels, latent.downscale):
        raise UnsupportedError(
            f"{path} decodes latents of {channels} channels to {downscale} times their size; "
            f"expected {latent.channels} and {latent.downscale}, which are this model's"
        )
    return vae.eval().requires_grad_(False)


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    name = config.get("_class_name") if isinstance(config, dict) else None
    if name != "AutoencoderTiny":
        raise ArtifactError(
            f"{folder} is {'no model of diffusers' if name is None else f'an {name}'}; expected an "
            "AutoencoderTiny, or a taesd_decoder.safetensors"
        )
    return dict(config)


def _decoder_weights(file: Path) -> Weights:
    """The decoder's weights by diffusers' names of its layers, in fp32."""
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot read {file}: {error}; expected safetensors") from error
    decoder: Weights = {}
    for name, weight in weights.items():
        if match := DIFFUSERS.fullmatch(name):
            decoder[match[1]] = weight.float()
        elif match := ORIGINAL.fullmatch(name):
            decoder[f"{int(match[1]) - 1}.{match[2]}"] = weight.float()
    if "0.weight" not in decoder:
        raise ArtifactError(f"{file} holds no decoder of a tiny autoencoder (TAESD)")
    return decoder
