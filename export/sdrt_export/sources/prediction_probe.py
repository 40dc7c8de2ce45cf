"""Whether a U-Net was trained to predict epsilon (the noise) or v, read off its answers.

Files of weights do not say it, configurations may be wrong, and the wrong one makes brown fog.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from sdrt.artifact.diffusers_config import LCM_GUIDANCE
from sdrt.errors import UsageError
from sdrt.manifest import GUIDANCE_INPUT, PICTURE, POOLED, Prediction, Schedule
from sdrt.networks.denoiser import guidance_embedding
from sdrt.request.size_conditioning import SizeConditioning
from sdrt.sampling.schedule import TrainingNoise
from sdrt_export.sources.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

UNetFunction = Callable[..., torch.Tensor]
"""Latents, timestep, embeddings, and by name whatever else it takes -> prediction."""

SIDE, IMAGES, TOKENS = 32, 2, 77
OPTION = "--prediction"
HIGH, LOW = 0.95, 0.15  # of the training steps


@dataclass(frozen=True)
class Echo:
    """The share of the noise in a network's answer."""

    slope: float
    """The factor of the noise that is closest to the answer, by least squares."""
    correlation: float
    """The correlation of answer and noise."""


@dataclass(frozen=True)
class Probe:
    """A U-Net's answers to noise on empty latents, at a late and at an early timestep.

    With x = a x0 + s noise, a network that predicts epsilon answers `noise` at both. One that
    predicts v = a noise - s x0 answers about -x0 where nearly all is noise (a is small), and about
    a times the noise where little is (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
    """

    high: Echo
    """The answer at the late timestep, where nearly all is noise."""
    low: Echo
    """The answer at the early timestep."""

    @property
    def prediction(self) -> Prediction | None:
        """The prediction that the answers show; None for random weights."""
        if self.high.correlation > 0.8 and self.high.slope > 0.7:
            return "epsilon"
        is_noise_early = self.low.correlation > 0.5 and self.low.slope > 0.45
        return "v_prediction" if is_noise_early and self.high.slope < 0.4 else None

    def __str__(self) -> str:
        return f"{self.high.slope:.2f} of the noise at a late timestep, {self.low.slope:.2f} early"


@torch.no_grad()
def probe(
    unet: UNetFunction,
    channels: int,
    width: int,
    schedule: Schedule,
    conditions: int = 0,
    added: Mapping[str, torch.Tensor] | None = None,
) -> Probe:
    """Show noise to a U-Net that takes `channels` of latents and embeddings of a `width`.

    `conditions` is the number of channels that it takes besides the latents: an inpainting model
    gets a mask of ones, which hides everything, and an empty image; an editing model an empty
    image. `added` are its other inputs by their names.
    """
    noise = TrainingNoise.from_schedule(schedule)
    seeded = torch.randn((IMAGES, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    empty = torch.zeros((IMAGES, TOKENS, width))
    condition = torch.zeros((IMAGES, conditions, SIDE, SIDE))
    if conditions == channels + 1:
        condition[:, :1] = 1
    echoes = []
    for share in (HIGH, LOW):
        timestep = int(share * noise.steps)
        sigma = float(noise.sigmas[timestep])
        sample = seeded * (sigma / (1 + sigma * sigma) ** 0.5)
        shown = torch.cat([sample, condition], dim=1)
        answer = unet(shown, torch.tensor(float(timestep)), empty, **(added or {}))
        echoes.append(_echo(answer, seeded))
    return Probe(*echoes)


def added_inputs(inputs: Mapping[str, torch.Tensor], side: int) -> dict[str, torch.Tensor]:
    """Values for those of a U-Net's inputs that not every U-Net has.

    They stand for an empty prompt, a square image of `side` pixels, and the usual guidance.
    """
    values = {}
    if POOLED in inputs:
        values[POOLED] = torch.zeros((IMAGES, inputs[POOLED].shape[1]))
    if PICTURE in inputs:
        row = SizeConditioning.uncropped(inputs[PICTURE].shape[1], (side, side)).row
        values[PICTURE] = torch.from_numpy(row).repeat(IMAGES, 1)
    if GUIDANCE_INPUT in inputs:
        row = guidance_embedding(LCM_GUIDANCE - 1, inputs[GUIDANCE_INPUT].shape[1])
        values[GUIDANCE_INPUT] = torch.from_numpy(row).repeat(IMAGES, 1)
    return values


def with_probed_prediction(checkpoint: Checkpoint, answers: Probe) -> Checkpoint:
    """The checkpoint with what its U-Net predicts, as stated or as its weights show.

    Raises `UsageError` where the two contradict each other, or neither is known.
    """
    shown, stated = answers.prediction, checkpoint.prediction
    source = checkpoint.prediction_source
    if not source:
        if shown is None:
            raise UsageError(
                f"the weights of {checkpoint.name} do not show what the U-Net predicts "
                f"({answers}), and nothing else states it; give --prediction epsilon or "
                "v_prediction, or --config"
            )
        logger.info("prediction: %s, as the weights show (%s)", shown, answers)
        return checkpoint.with_scheduler("the weights", prediction_type=shown)
    if shown not in (None, stated) and source != OPTION:
        raise UsageError(
            f"{source} says that the U-Net predicts {stated}, and its weights show {shown} "
            f"({answers}); give --prediction {shown}, or {stated} to insist"
        )
    logger.info(
        "prediction: %s, according to %s; the weights show %s (%s)",
        stated,
        source,
        shown or "nothing",
        answers,
    )
    return checkpoint


def _echo(answer: torch.Tensor, noise: torch.Tensor) -> Echo:
    product, power = float((answer * noise).sum()), float((noise * noise).sum())
    size = float((answer * answer).sum()) * power
    return Echo(product / power, product / size**0.5 if size else 0.0)
