"""A checkpoint in one file, as the original code and its heirs write it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import CLIPTokenizer

from sdrt.artifact.diffusers_config import GUIDANCE
from sdrt.errors import UsageError
from sdrt.manifest import Defaults, Source
from sdrt.sampling.schedule import TrainingNoise
from sdrt.sampling.scheduler_config import read_schedule
from sdrt_export.presets import Preset
from sdrt_export.sources.checkpoint import BUILD, Checkpoint, Config, fitting_tokenizer
from sdrt_export.sources.single_file.architecture import check_agreement, recognise
from sdrt_export.sources.single_file.diffusers_settings import SIZES, settings_of
from sdrt_export.sources.single_file.ldm_yaml import LdmConfig, read_ldm_config
from sdrt_export.sources.single_file.weight_names import (
    OPEN_CLIP,
    VAE,
    Naming,
    NetworkName,
    to_diffusers,
    to_ldm,
)
from sdrt_export.sources.single_file.weights_file import (
    Shape,
    WeightsFile,
    open_weights,
    refuse_weights,
)

logger = logging.getLogger(__name__)

SPACING = ("timestep_spacing", "steps_offset")

LEFTOVERS = re.compile(
    r"model_ema\..*"
    r"|(sqrt_|log_)?(one_minus_)?alphas_cumprod(_prev)?|betas|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])|logvar|global_step"
    r"|first_stage_model\.(loss|model_ema)\..*"
    r"|depth_model\..*"
    r"|cond_stage_model\.transformer\.text_model\.embeddings\.position_ids"
    r"|cond_stage_model\.(model\.)?(text_projection|logit_scale|attn_mask)"
    r"|cond_stage_model\.transformer\.text_projection\.weight"
    r"|conditioner\.embedders\.0\.transformer\.(text_model\.embeddings\.position_ids"
    r"|text_projection\.weight)"
    r"|conditioner\.embedders\.[01]\.model\.(logit_scale|attn_mask)|denoiser\.sigmas"
)
"""Names that training leaves behind: moving averages, its schedule, its losses, CLIP's head.

And the depth estimator of depth models, because depth maps are given.
"""

NOISE_TABLE = "alphas_cumprod"
TOLERANCE = 0.005  # of the signal's share; zero terminal SNR differs by 0.07, fp16 by 0.0005


@dataclass(frozen=True)
class SingleFileCheckpoint(Checkpoint):
    """A file with all networks, perhaps described by an LDM configuration."""

    file: WeightsFile
    """The weights."""
    config_size: int | None = field(default=None, kw_only=True)
    """Side in pixels of the images that the LDM configuration is for."""

    @classmethod
    def open(
        cls, path: Path, config: str | Path | None = None, allow_pickle: bool = False
    ) -> "SingleFileCheckpoint":
        """Recognise the model by its tensors' names and shapes, and account for each of them.

        Raises `UsageError` where a configuration contradicts the weights, or would be needed;
        `ArtifactError` for weights that are missing or left over; `UnsupportedError` for another
        kind of model.
        """
        return cls.of(open_weights(path, allow_pickle), config)

    @classmethod
    def of(cls, file: WeightsFile, config: str | Path | None = None) -> "SingleFileCheckpoint":
        """The same for a file that is open already."""
        path = file.path
        architecture = recognise(path, file.shapes)
        ldm = read_ldm_config(config) if config is not None else None
        if ldm:
            check_agreement(path, architecture, ldm)
        configs = settings_of(path, file.shapes, architecture, ldm)
        configs["scheduler"] |= _noise_table(file, configs["scheduler"], ldm)
        _account(file, configs, architecture.family)
        return cls(
            path.stem,
            Source(id=path.name),
            configs,
            file,
            prediction_source=ldm.name if ldm else "",
            config_size=ldm.side if ldm else None,
            config_precision=ldm.precision if ldm else None,
            zeros_for_empty_prompt=architecture.family == "sdxl",  # its refiner was not trained so
        )

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """CLIP's tokenizer, which comes with sdrt."""
        return fitting_tokenizer(self.configs[encoder])

    @property
    def naming(self) -> Naming:
        """The naming scheme of the file's weights."""
        return "sdxl-refiner" if self.is_refiner else self.family

    @property
    def defaults(self) -> Defaults:
        """Generation defaults, in the size that the model was trained for."""
        is_large = self.family == "sd2" and self.prediction == "v_prediction"
        own = SIZES[self.naming] * self.latent.downscale
        size = self.config_size or (768 if is_large else own)
        return Defaults(width=size, height=size, guidance_scale=GUIDANCE[self.family])

    def spaced_as(self, preset: Preset) -> "SingleFileCheckpoint":
        """The same checkpoint with the spacing of a preset, which a single file does not state.

        A model without signal at the last timestep begins there, whatever the preset's spacing.
        """
        if preset.geometry is None or self.schedule.zero_terminal_snr:
            return self
        scheduler = preset.geometry.scheduler
        spacing = {name: scheduler[name] for name in SPACING if name in scheduler}
        return self.with_scheduler(**spacing)

    def network(self, part: str) -> Any:
        """Load a network in fp32."""
        name, config = cast(NetworkName, part), self.configs[part]
        with torch.device("meta"):
            module = BUILD[part](config)
        names = to_ldm(name, module.state_dict(), config, self.naming)
        weights = to_diffusers(name, self.file.read(names), config, self.naming)
        module.load_state_dict(weights, assign=True)
        _materialise(module)
        return module.eval().requires_grad_(False)


def _materialise(module: torch.nn.Module) -> None:
    """Fill the buffers that are not stored: positions, which count from 0."""
    for child in module.modules():
        for name, buffer in child.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", name
                child.register_buffer(
                    name, torch.arange(buffer.shape[-1]).expand(buffer.shape), persistent=False
                )


def _noise_table(file: WeightsFile, scheduler: Config, ldm: LdmConfig | None) -> Config:
    """Settings that a stored noise table adds; raises `UsageError` if the two contradict."""
    if NOISE_TABLE not in file.shapes:
        return {}
    signal = file.read([NOISE_TABLE])[NOISE_TABLE].clamp(0, 1).sqrt().numpy()
    without_signal = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    for settings in ({}, without_signal):
        sigmas = TrainingNoise.from_schedule(read_schedule({**scheduler, **settings})).sigmas
        expected = 1 / np.sqrt(1 + sigmas * sigmas)
        if signal.shape == expected.shape and np.abs(signal - expected).max() < TOLERANCE:
            if settings:
                logger.info("%s: trained with no signal at the last timestep", file.path)
            return settings
    by = ldm.name if ldm else "the noise of Stable Diffusion"
    raise UsageError(
        f"{by} does not belong to {file.path}: its table {NOISE_TABLE} has {signal.size} steps and "
        f"ends at {signal.flat[-1] ** 2:.5f}, expected {expected.size} steps and "
        f"{scheduler['beta_start']} to {scheduler['beta_end']}; give --config with other "
        "linear_start and linear_end"
    )


def _account(file: WeightsFile, configs: Mapping[str, Config], naming: Naming) -> None:
    """Every weight is used once or a known leftover; raises `ArtifactError` that lists the rest."""
    expected: dict[str, Shape] = {}
    for part in BUILD:
        if part not in configs:
            continue
        with torch.device("meta"):
            state = BUILD[part](configs[part]).state_dict()
        named = to_ldm(cast(NetworkName, part), state, configs[part], naming)
        expected |= {name: tuple(weight.shape) for name, weight in named.items()}
    layers = configs["text_encoder"]["num_hidden_layers"] if "text_encoder" in configs else 0
    unused_layer = f"{OPEN_CLIP}transformer.resblocks.{layers}."
    left = [name for name in file.shapes if name not in expected]
    known = [name for name in left if LEFTOVERS.fullmatch(name) or name.startswith(unused_layer)]
    problems = {
        "are missing": [name for name in expected if name not in file.shapes],
        "are not known": sorted(set(left) - set(known)),
        "have another shape than their place": [
            name
            for name, shape in expected.items()
            if name in file.shapes and not _fits(name, file.shapes[name], shape)
        ],
    }
    refuse_weights(file.path, problems)
    logger.info("%s: %d weights used, %d left by training", file.path, len(expected), len(known))


def _fits(name: str, shape: Shape, expected: Shape) -> bool:
    """Compare shapes; some files store the 1x1 convolutions of the VAE's attention as matrices."""
    is_attention = name.startswith(VAE) and ".attn_1." in name
    return shape == expected or (is_attention and (*shape, 1, 1) == expected)
