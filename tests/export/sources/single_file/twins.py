"""Small models as the original code would have saved them, with the YAML that describes each."""

import copy
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from sdrt.manifest import Schedule
from sdrt.sampling.schedule import TrainingNoise
from sdrt_export.presets import read_preset
from sdrt_export.sources.checkpoint import BUILD
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.weight_names import Naming, NetworkName, to_ldm

PARTS: tuple[NetworkName, ...] = ("text_encoder", "text_encoder_2", "unet", "vae")
FAMILIES = ("sd1", "sd1-inpaint", "sd1-edit", "sd2", "sd2-v", "sd2-depth")
MODELS = {
    "sd1-inpaint": "ldm.models.diffusion.ddpm.LatentInpaintDiffusion",
    "sd1-edit": "ldm.models.diffusion.ddpm_edit.LatentDiffusion",
    "sd2-depth": "ldm.models.diffusion.ddpm.LatentDepth2ImageDiffusion",
}
CHANNELS = {"sd1-inpaint": 9, "sd1-edit": 8, "sd2-depth": 5}
PRESETS = {"sd2-v": "tiny-sd2-v", "sd2-depth": "tiny-depth"}
TARGETS = {
    "sd1": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
    "sd2": "ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder",
}
Weights = dict[str, torch.Tensor]


def twin(family: str) -> RandomCheckpoint:
    """A random model of a family. `tiny` is none: the original code has 32 groups in every norm."""
    if family == "sdxl":
        return RandomCheckpoint.from_preset(*read_preset("tiny-sdxl"))
    name, preset = read_preset(PRESETS.get(family, "tiny-sd2"))
    if family.startswith("sd2"):
        return RandomCheckpoint.from_preset(name, preset)
    assert preset.geometry is not None
    geometry = copy.deepcopy(preset.geometry)
    assert geometry.text_encoder is not None
    geometry.text_encoder.update(hidden_act="quick_gelu", pad_token_id=513)
    geometry.unet.update(use_linear_projection=False, attention_head_dim=2)
    geometry.unet["in_channels"] = CHANNELS.get(family, 4)
    return RandomCheckpoint.from_preset(
        "tiny-sd1", preset.model_copy(update={"geometry": geometry})
    )


def ldm_weights(family: str) -> Weights:
    """All weights of a twin in the original naming, with what training leaves beside them."""
    made = twin(family)
    weights = _named(made)
    weights |= {
        "betas": torch.ones(1000),
        "alphas_cumprod": noise_table(made.schedule),
        "alphas_cumprod_prev": torch.ones(1000),
        "sqrt_recipm1_alphas_cumprod": torch.ones(1000),
        "posterior_mean_coef2": torch.ones(1000),
        "logvar": torch.zeros(1000),
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(4),
        "first_stage_model.loss.logvar": torch.zeros(1),
    }
    if family == "sdxl":
        tower = "conditioner.embedders.0.transformer.text_model."
        weights[f"{tower}embeddings.position_ids"] = torch.arange(77)[None]
        weights["conditioner.embedders.1.model.logit_scale"] = torch.tensor(4.6)
        weights["denoiser.sigmas"] = torch.zeros(1000)
    elif family.startswith("sd2"):
        tower = "cond_stage_model.model."
        last = made.configs["text_encoder"]["num_hidden_layers"]
        for name in [name for name in weights if f"resblocks.{last - 1}." in name]:
            unused = name.replace(f"resblocks.{last - 1}.", f"resblocks.{last}.")
            weights[unused] = torch.zeros_like(weights[name])
        weights[f"{tower}text_projection"] = torch.zeros(128, 128)
        weights[f"{tower}logit_scale"] = torch.tensor(4.6)
    else:
        tower = "cond_stage_model.transformer.text_model."
        weights[f"{tower}embeddings.position_ids"] = torch.arange(77)[None]
    if family == "sd2-depth":
        weights["depth_model.model.pretrained.model.cls_token"] = torch.zeros(1, 1, 8)
        weights["depth_model.model.scratch.output_conv.4.bias"] = torch.zeros(1)
    return {name: weight.contiguous() for name, weight in weights.items()}


def parts_of(checkpoint: RandomCheckpoint) -> list[NetworkName]:
    """The networks that a model has."""
    return [part for part in PARTS if part in checkpoint.configs]


def ldm_shapes(made: RandomCheckpoint) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights in the original naming; nothing of them is made."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts_of(made):
        with torch.device("meta"):
            state = BUILD[part](made.configs[part]).state_dict()
        named = to_ldm(part, state, made.configs[part], made.family)
        shapes |= {name: tuple(weight.shape) for name, weight in named.items()}
    return shapes


def save_weights(made: RandomCheckpoint, path: Path) -> Path:
    """A file of a model's weights alone."""
    save_file({name: weight.contiguous() for name, weight in _named(made).items()}, path)
    return path


def _named(made: RandomCheckpoint) -> Weights:
    naming: Naming = "sdxl-refiner" if made.is_refiner else made.family
    weights: Weights = {}
    for part in parts_of(made):
        weights |= to_ldm(part, made.network(part).state_dict(), made.configs[part], naming)
    return weights


def noise_table(schedule: Schedule) -> torch.Tensor:
    """`alphas_cumprod` of a schedule: the signal's share of the variance."""
    sigmas = torch.from_numpy(TrainingNoise.from_schedule(schedule).sigmas)
    return (1 / (1 + sigmas**2)).float()


def save(family: str, path: Path, weights: Weights | None = None) -> Path:
    """A file of a twin, pickled if its name says so."""
    weights = ldm_weights(family) if weights is None else weights
    if path.suffix == ".ckpt":
        torch.save({"state_dict": weights, "global_step": 470_000, "epoch": 4}, path)
    else:
        save_file(weights, path)
    return path


def ldm_yaml(family: str) -> dict[str, Any]:
    """What the original code's YAML would say of a twin."""
    is_two = family.startswith("sd2")
    heads = {"num_head_channels": 16, "use_linear_in_transformer": True}
    params: dict[str, Any] = {
        "linear_start": 0.00085,
        "linear_end": 0.012,
        "timesteps": 1000,
        "image_size": 8,
        "monitor": "val/loss",
        "scale_factor": 0.18215,
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": {
                "in_channels": CHANNELS.get(family, 4),
                "out_channels": 4,
                "model_channels": 32,
                "attention_resolutions": [2],
                "num_res_blocks": 1,
                "channel_mult": [1, 2],
                "use_spatial_transformer": True,
                "context_dim": 128,
                **(heads if is_two else {"num_heads": 2}),
            },
        },
        "first_stage_config": {
            "target": "ldm.models.autoencoder.AutoencoderKL",
            "params": {
                "embed_dim": 4,
                "ddconfig": {
                    "z_channels": 4,
                    "resolution": 64,
                    "in_channels": 3,
                    "out_ch": 3,
                    "ch": 32,
                    "ch_mult": [1, 1, 1, 2],
                    "num_res_blocks": 1,
                    "attn_resolutions": [],
                },
                "lossconfig": {"target": "torch.nn.Identity"},
            },
        },
        "cond_stage_config": {"target": TARGETS[family[:3]]},
    }
    if is_two:
        params["cond_stage_config"]["params"] = {"freeze": True, "layer": "penultimate"}
    if family == "sd2-v":
        params["parameterization"] = "v"
    if family in CHANNELS:
        params["conditioning_key"] = "hybrid"
    if family == "sd2-depth":
        estimator = {"target": "ldm.modules.midas.api.MiDaSInference"}
        params["depth_stage_config"] = {**estimator, "params": {"model_type": "dpt_hybrid"}}
    target = MODELS.get(family, "ldm.models.diffusion.ddpm.LatentDiffusion")
    return {"model": {"target": target, "params": params}}


def write_yaml(path: Path, content: Any) -> Path:
    """A YAML file."""
    path.write_text(yaml.safe_dump(content))
    return path
