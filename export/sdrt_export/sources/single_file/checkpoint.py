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
from sdrt.errors import ArtifactError, UsageError
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
from sdrt_export.sources.single_file.weights_file import Shape, WeightsFile, open_weights

logger = logging.getLogger(__name__)

SPACING = ("timestep_spacing", "steps_offset")
SHOWN = 8  # names in a message

LEFTOVERS = re.compile(
    r"model_ema\..*"
    r"|(sqrt_|log_)?(one_minus_)?alphas_cumprod(_prev)?|betas|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])|logvar|global_step"
    r"|first_stage_model\.(loss|model_ema)\..*"
    r"|cond_stage_model\.transformer\.text_model\.embeddings\.position_ids"
    r"|cond_stage_model\.(model\.)?(text_projection|logit_scale|attn_mask)"
    r"|cond_stage_model\.transformer\.text_projection\.weight"
    r"|conditioner\.embedders\.0\.transformer\.(text_model\.embeddings\.position_ids"
    r"|text_projection\.weight)"
    r"|conditioner\.embedders\.[01]\.model\.(logit_scale|attn_mask)|denoiser\.sigmas"
)
"""What training leaves in a checkpoint: moving averages, its schedule, its losses, CLIP's head."""

NOISE_TABLE = "alphas_cumprod"
TOLERANCE = 0.005  # of the signal's share; zero terminal SNR differs by 0.07, fp16 by 0.0005


@dataclass(frozen=True)
class SingleFileCheckpoint(Checkpoint):
    """A file with all networks, and perhaps an LDM configuration beside it."""

    file: WeightsFile
    said_size: int | None = field(default=None, kw_only=True)
    """Side of the pictures that the configuration is for."""

    @classmethod
    def open(
        cls, path: Path, config: str | Path | None = None, allow_pickle: bool = False
    ) -> "SingleFileCheckpoint":
        """Recognise the model by its tensors' names and shapes, and account for each of them.

        Raises `UsageError` where a configuration contradicts the weights, or where only one could
        tell; `ArtifactError` for weights that are missing or left over; `UnsupportedError` for
        another kind of model.
        """
        file = open_weights(path, allow_pickle)
        found = recognise(path, file.shapes)
        said = read_ldm_config(config) if config is not None else None
        if said:
            check_agreement(path, found, said)
        configs = settings_of(path, file.shapes, found, said)
        configs["scheduler"] |= _noise_table(file, configs["scheduler"], said)
        _account(file, configs, found.family)
        params = said.params if said else None
        return cls(
            path.stem,
            Source(id=path.name),
            configs,
            file,
            prediction_source=said.name if said else "",
            said_size=params.image_size * 2 ** (len(found.vae_channels) - 1) if params else None,
            config_precision=said.precision if said else None,
            zeros_for_empty_prompt=found.family == "sdxl",  # its refiner was not trained so
        )

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """CLIP's, which comes with sdrt."""
        return fitting_tokenizer(self.configs[encoder])

    @property
    def naming(self) -> Naming:
        """Whose names the file's weights have."""
        return "sdxl-refiner" if self.is_refiner else self.family

    @property
    def defaults(self) -> Defaults:
        """Those of any model, in the size that it was trained for."""
        is_large = self.family == "sd2" and self.prediction == "v_prediction"
        own = SIZES[self.naming] * self.latent.downscale
        size = self.said_size or (768 if is_large else own)
        return Defaults(width=size, height=size, guidance_scale=GUIDANCE[self.family])

    def spaced_as(self, preset: Preset) -> "SingleFileCheckpoint":
        """The same with the steps of a preset, which a file says nothing of.

        A model without signal at the last timestep begins there, whatever a preset says.
        """
        if preset.geometry is None or self.schedule.zero_terminal_snr:
            return self
        said = preset.geometry.scheduler
        spacing = {name: said[name] for name in SPACING if name in said}
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
    """Make the buffers that are no weights: positions, which count from 0."""
    for child in module.modules():
        for name, buffer in child.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", name
                child.register_buffer(
                    name, torch.arange(buffer.shape[-1]).expand(buffer.shape), persistent=False
                )


def _noise_table(file: WeightsFile, scheduler: Config, said: LdmConfig | None) -> Config:
    """What the table of noise that some files hold adds; raises `UsageError` if it contradicts."""
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
    by = said.name if said else "the noise of Stable Diffusion"
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
    for what, names in problems.items():
        if names:
            raise ArtifactError(f"{file.path}: {len(names)} weights {what}: {_listed(names)}")
    logger.info("%s: %d weights used, %d left by training", file.path, len(expected), len(known))


def _fits(name: str, found: Shape, expected: Shape) -> bool:
    """Some files hold the 1x1 convolutions of the autoencoder's attention as matrices."""
    is_attention = name.startswith(VAE) and ".attn_1." in name
    return found == expected or (is_attention and (*found, 1, 1) == expected)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
