"""What a U-Net was trained to predict, read off its answers: epsilon (the noise) or v.

A file of weights does not say it, configurations say it wrong, and the wrong one makes brown fog.
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

UNet = Callable[..., torch.Tensor]
"""Latents, timestep, embeddings, and by name whatever else it takes -> prediction."""

SIDE, IMAGES, TOKENS = 32, 2, 77
OPTION = "--prediction"
HIGH, LOW = 0.95, 0.15  # of the training steps


@dataclass(frozen=True)
class Echo:
    """How much of the noise comes back in a network's answer."""

    slope: float
    """Least squares: the answer is about so many times the noise."""
    correlation: float


@dataclass(frozen=True)
class Probe:
    """A U-Net's answers to noise on empty latents, at a late and at an early timestep.

    With x = a x0 + s noise, a network that predicts epsilon says `noise` at both. One that predicts
    v = a noise - s x0 says about -x0 where nearly all is noise (a is small), and about a times the
    noise where little is (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
    """

    high: Echo
    low: Echo

    @property
    def prediction(self) -> Prediction | None:
        """What the answers show; nothing, for random weights."""
        if self.high.correlation > 0.8 and self.high.slope > 0.7:
            return "epsilon"
        is_noise_early = self.low.correlation > 0.5 and self.low.slope > 0.45
        return "v_prediction" if is_noise_early and self.high.slope < 0.4 else None

    def __str__(self) -> str:
        return f"{self.high.slope:.2f} of the noise at a late timestep, {self.low.slope:.2f} early"


@torch.no_grad()
def probe(
    unet: UNet,
    channels: int,
    width: int,
    schedule: Schedule,
    conditions: int = 0,
    more: Mapping[str, torch.Tensor] | None = None,
) -> Probe:
    """Show noise to a U-Net for that many channels of latents and that width of embeddings.

    `conditions` are the channels that it takes beside the latents: of an inpainting model a mask
    of ones, which hides everything, and nothing around it; of an editing model no picture. `more`
    are other inputs by their names.
    """
    noise = TrainingNoise.from_schedule(schedule)
    given = torch.randn((IMAGES, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros((IMAGES, TOKENS, width))
    beside = torch.zeros((IMAGES, conditions, SIDE, SIDE))
    if conditions == channels + 1:
        beside[:, :1] = 1
    echoes = []
    for share in (HIGH, LOW):
        timestep = int(share * noise.steps)
        sigma = float(noise.sigmas[timestep])
        sample = given * (sigma / (1 + sigma * sigma) ** 0.5)
        shown = torch.cat([sample, beside], dim=1)
        answer = unet(shown, torch.tensor(float(timestep)), nothing, **(more or {}))
        echoes.append(_echo(answer, given))
    return Probe(*echoes)


def beside_embeddings(inputs: Mapping[str, torch.Tensor], side: int) -> dict[str, torch.Tensor]:
    """What a U-Net with these inputs takes beside embeddings.

    Of no text, a square picture, and guidance as usual.
    """
    found = {}
    if POOLED in inputs:
        found[POOLED] = torch.zeros((IMAGES, inputs[POOLED].shape[1]))
    if PICTURE in inputs:
        row = SizeConditioning.of(inputs[PICTURE].shape[1], (side, side)).row
        found[PICTURE] = torch.from_numpy(row).repeat(IMAGES, 1)
    if GUIDANCE_INPUT in inputs:
        row = guidance_embedding(LCM_GUIDANCE - 1, inputs[GUIDANCE_INPUT].shape[1])
        found[GUIDANCE_INPUT] = torch.from_numpy(row).repeat(IMAGES, 1)
    return found


def decided(checkpoint: Checkpoint, found: Probe) -> Checkpoint:
    """The checkpoint with what it predicts, by its weights or by whoever said so.

    Raises `UsageError` where the two contradict each other, or nobody knows.
    """
    shown, said, by = found.prediction, checkpoint.prediction, checkpoint.prediction_source
    if not by:
        if shown is None:
            raise UsageError(
                f"the weights of {checkpoint.name} do not show what the U-Net predicts ({found}), "
                "and nothing else says it; give --prediction epsilon or v_prediction, or --config"
            )
        logger.info("prediction: %s, as the weights show (%s)", shown, found)
        return checkpoint.with_scheduler("the weights", prediction_type=shown)
    if shown not in (None, said) and by != OPTION:
        raise UsageError(
            f"{by} says that the U-Net predicts {said}, and its weights show {shown} ({found}); "
            f"give --prediction {shown}, or {said} to insist"
        )
    logger.info(
        "prediction: %s, says %s; the weights show %s (%s)", said, by, shown or "nothing", found
    )
    return checkpoint


def _echo(answer: torch.Tensor, noise: torch.Tensor) -> Echo:
    product, power = float((answer * noise).sum()), float((noise * noise).sum())
    size = float((answer * answer).sum()) * power
    return Echo(product / power, product / size**0.5 if size else 0.0)
