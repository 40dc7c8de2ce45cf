"""LDM's YAML files, read as data: facts of a model that its weights do not show.

Such a file names Python classes (`target:`) and their arguments. Nothing is ever imported: the few
targets of Stable Diffusion 1 and 2 are compared by name, and every other is refused.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import Model, Precision, Prediction, explain_validation_error
from sdrt_export.presets import config_folder, read_yaml

FOLDER = "stable-diffusion"
CLIP_TARGET = "ldm.modules.encoders.modules.FrozenCLIPEmbedder"
OPEN_CLIP_TARGET = "ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder"
TARGETS: dict[str, tuple[str, ...]] = {
    "model": (
        "ldm.models.diffusion.ddpm.LatentDiffusion",
        "ldm.models.diffusion.ddpm.LatentInpaintDiffusion",
        "ldm.models.diffusion.ddpm.LatentDepth2ImageDiffusion",
        "ldm.models.diffusion.ddpm_edit.LatentDiffusion",  # InstructPix2Pix
    ),
    "unet_config": ("ldm.modules.diffusionmodules.openaimodel.UNetModel",),
    "first_stage_config": ("ldm.models.autoencoder.AutoencoderKL",),
    "cond_stage_config": (CLIP_TARGET, OPEN_CLIP_TARGET),
}
NOT_YET = "; sdrt does not export these yet"
RELATIVES = {
    "LatentUpscaleDiffusion": f"an upscaler{NOT_YET}",
    "LatentUpscaleFinetuneDiffusion": f"an upscaler{NOT_YET}",
    "ImageEmbeddingConditionedLatentDiffusion": f"an unCLIP model{NOT_YET}",
    "DiffusionEngine": "a model of Stability's generative-models (Stable Diffusion XL), which is "
    "exported without a configuration",
}
MODES = {0: "", 1: ", over a depth map", 4: ", edits pictures", 5: ", paints under a mask"}
"""What a U-Net with so many input channels besides the latents' does."""
PREDICTIONS = {"eps": "noise", "v": "v", "x0": "clean latents"}
BASE_SIDE, V_SIDE = 64, 96
"""Sides, in latents, of what Stable Diffusion 2's models were trained on."""
PARAMETERIZATIONS: dict[str, Prediction] = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
CURVES = {"linear": "scaled_linear", "sqrt_linear": "linear"}  # LDM's names -> diffusers'

Ignored = Any
"""Settings of training, or without effect on what the networks compute."""


class UNetParams(Model):
    """Arguments of `UNetModel`, some of which may have one value only."""

    in_channels: int
    out_channels: int
    model_channels: int
    attention_resolutions: tuple[int, ...]
    num_res_blocks: int
    channel_mult: tuple[int, ...]
    num_heads: int = -1
    num_head_channels: int = -1
    use_spatial_transformer: Literal[True]
    use_linear_in_transformer: bool = False
    transformer_depth: int = 1
    context_dim: int
    use_bf16: bool = False
    conv_resample: Literal[True] = True
    dims: Literal[2] = 2
    num_classes: None = None
    use_scale_shift_norm: Literal[False] = False
    resblock_updown: Literal[False] = False
    image_size: Ignored = None
    use_checkpoint: Ignored = None
    use_fp16: Ignored = None
    legacy: Ignored = None
    dropout: Ignored = None


class Autoencoder(Model):
    """`ddconfig` of the autoencoder."""

    double_z: Literal[True] = True
    z_channels: int
    in_channels: int
    out_ch: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[()] = ()
    attn_type: Literal["vanilla", "vanilla-xformers"] = "vanilla"
    resolution: Ignored = None
    dropout: Ignored = None


class AutoencoderParams(Model):
    """Arguments of `AutoencoderKL`."""

    embed_dim: int
    ddconfig: Autoencoder
    monitor: Ignored = None
    lossconfig: Ignored = None
    ckpt_path: Ignored = None


class TextEncoderParams(Model):
    """Arguments of the text encoder's wrapper."""

    layer: Literal["last", "penultimate"] = "last"
    max_length: Literal[77] = 77
    version: Ignored = None
    arch: Ignored = None
    freeze: Ignored = None
    device: Ignored = None


class UNetPart(Model):
    """The U-Net."""

    target: str
    params: UNetParams


class AutoencoderPart(Model):
    """The autoencoder."""

    target: str
    params: AutoencoderParams


class TextEncoderPart(Model):
    """The text encoder."""

    target: str
    params: TextEncoderParams = TextEncoderParams()


class ModelParams(Model):
    """Arguments of `LatentDiffusion`, with its defaults."""

    linear_start: float = 1e-4
    linear_end: float = 2e-2
    timesteps: int = 1000
    beta_schedule: Literal["linear", "sqrt_linear"] = "linear"
    parameterization: Literal["eps", "v", "x0"] = "eps"
    scale_factor: float = 1.0
    image_size: int = 64
    conditioning_key: Literal["crossattn", "hybrid"] = "crossattn"
    """Whether the U-Net takes a text alone (crossattn) or further channels too (hybrid)."""
    unet_config: UNetPart
    first_stage_config: AutoencoderPart
    cond_stage_config: TextEncoderPart
    channels: Ignored = None
    num_timesteps_cond: Ignored = None
    log_every_t: Ignored = None
    first_stage_key: Ignored = None
    cond_stage_key: Ignored = None
    cond_stage_trainable: Ignored = None
    concat_mode: Ignored = None
    scale_by_std: Literal[False] = False
    monitor: Ignored = None
    use_ema: Ignored = None
    loss_type: Ignored = None
    scheduler_config: Ignored = None
    personalization_config: Ignored = None
    ckpt_path: Ignored = None
    ignore_keys: Ignored = None
    depth_stage_config: Ignored = None  # the estimator of depth maps, which are given to us
    finetune_keys: Ignored = None
    load_ema: Ignored = None
    unfreeze_model: Ignored = None
    model_lr: Ignored = None


class LdmConfig(Model):
    """The content of an LDM YAML file."""

    name: str
    params: ModelParams

    @property
    def is_open_clip(self) -> bool:
        """Whether the text encoder is OpenCLIP's."""
        return self.params.cond_stage_config.target == OPEN_CLIP_TARGET

    @property
    def prediction(self) -> Prediction:
        """What the U-Net predicts."""
        return PARAMETERIZATIONS[self.params.parameterization]

    @property
    def precision(self) -> Precision:
        """The precision that the weights are to be stored in."""
        return "bf16" if self.params.unet_config.params.use_bf16 else "fp32"

    @property
    def latent_side(self) -> int:
        """The side of the latents that the model was trained on.

        Stable Diffusion 2 that predicts v was trained on 768x768 pixels after it was on 512x512,
        and its published files still have the size of the latter.
        """
        side = self.params.image_size
        is_stale = self.is_open_clip and self.prediction == "v_prediction" and side == BASE_SIDE
        return V_SIDE if is_stale else side

    @property
    def side(self) -> int:
        """The side in pixels of the pictures that the model was trained on."""
        levels = self.params.first_stage_config.params.ddconfig.ch_mult
        return int(self.latent_side * 2 ** (len(levels) - 1))

    @property
    def summary(self) -> str:
        """The model in a few words."""
        unet = self.params.unet_config.params
        version = 2 if self.is_open_clip else 1
        mode = MODES.get(unet.in_channels - unet.out_channels, "")
        predicts = PREDICTIONS[self.params.parameterization]
        return f"Stable Diffusion {version}{mode}, predicts {predicts}"


def read_ldm_config(name_or_path: str | Path) -> LdmConfig:
    """Read a file, or one that comes with sdrt by its name.

    Raises `UsageError`, or `UnsupportedError` for another kind of model.
    """
    path = _find(name_or_path)
    data = read_yaml(path)
    model = data.get("model") if isinstance(data, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("params"), dict):
        raise UsageError(f"{path} is no LDM configuration; expected model: with target and params")
    _check_target(path, "model", model)
    for part in list(TARGETS)[1:]:
        _check_target(path, part, model["params"].get(part))
    try:
        config = LdmConfig(name=path.name, params=ModelParams.model_validate(model["params"]))
    except ValidationError as error:
        raise UsageError(f"{path}, model.params: {explain_validation_error(error)}") from error
    layer = config.params.cond_stage_config.params.layer
    expected = "penultimate" if config.is_open_clip else "last"
    if layer != expected:
        raise UnsupportedError(
            f"{path} takes the {layer} layer of its text encoder; sdrt takes the {expected} one of "
            "this kind, as Stable Diffusion does"
        )
    return config


def ldm_configs() -> dict[str, Path]:
    """The LDM configurations that come with sdrt, by name."""
    paths = {path.stem: path for path in (config_folder() / FOLDER).rglob("*.yaml")}
    return dict(sorted(paths.items()))


def exported_configs() -> dict[str, LdmConfig]:
    """Those of them whose models can be exported, read."""
    configs = {}
    for name in ldm_configs():
        with suppress(UnsupportedError):
            configs[name] = read_ldm_config(name)
    return configs


def _find(name_or_path: str | Path) -> Path:
    path, known = Path(name_or_path), ldm_configs()
    if path.is_file():
        return path
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    raise UsageError(
        f"there is no LDM configuration {str(name_or_path)!r}; known: "
        f"{', '.join(exported_configs())}, or the path of a YAML file"
    )


def _check_target(path: Path, part: str, section: object) -> None:
    """Compare the class that a section names with those that are known."""
    target = section.get("target") if isinstance(section, Mapping) else None
    if target is None:
        raise UsageError(f"{path} has no {part} with a target; expected {TARGETS[part][0]}")
    if target not in TARGETS[part]:
        relative = RELATIVES.get(str(target).rpartition(".")[2])
        known = f"; known: {', '.join(TARGETS[part])}"
        kind = f", which is {relative}" if relative else known
        raise UnsupportedError(f"{path}: {part} is {target}{kind}")
