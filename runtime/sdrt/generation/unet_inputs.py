"""What the U-Net of a run is fed: its shapes, its conditioning, and the denoiser around it."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array, Latents
from sdrt.backends.feature_cut import FeatureCut, FeatureForm
from sdrt.errors import UsageError
from sdrt.generation.controls import control_residuals
from sdrt.generation.prompt_conditioning import PromptConditioning
from sdrt.manifest import GUIDANCE_INPUT, PICTURE, POOLED, Manifest, guidance_width
from sdrt.networks.denoiser import Added, Denoiser
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.loaded import SHALLOW_UNET, UNET, Controlled, Form
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.networks.unet import FeatureCache, UNet
from sdrt.request.feature_reuse import FeatureReuse
from sdrt.request.request import Request
from sdrt.request.size_conditioning import SizeConditioning
from sdrt.sampling.schedule import Steps
from sdrt.text.conditioning import TextConditioning

FORMS: dict[str, FeatureForm] = {UNET: "whole", SHALLOW_UNET: "shallow"}
"""The networks of a run that uses deep features again, and the form that each is opened in."""


def latent_shape(manifest: Manifest, request: Request) -> tuple[int, int, int]:
    """Channels, height and width of one image's latents."""
    latent = manifest.latent
    return latent.channels, request.height // latent.downscale, request.width // latent.downscale


@dataclass(frozen=True)
class OpenUNet:
    """The U-Net, and where its deep features are used again, its last layers as a network."""

    whole: GuardedGraph
    shallow: GuardedGraph | None

    def cache(self, reuse: FeatureReuse) -> FeatureCache | None:
        """The features of a run that uses them again."""
        return FeatureCache(self.shallow, reuse) if self.shallow else None

    def record(self, cache: FeatureCache | None) -> None:
        """Keep what was executed; call it before the networks are released."""
        self.whole.record()
        if self.shallow and cache and cache.has_reused:
            self.shallow.record()


def open_unet(
    model: OpenModel, request: Request, text: TextConditioning, is_split: bool, state: RunState
) -> OpenUNet:
    """The U-Net, ready for a batch of this run; raises `UsageError` for a prompt too long for it.

    `is_split` says that the branches of guidance run one after the other. Raises `UnsupportedError`
    for a depth of kept features that the U-Net does not have.
    """
    manifest, tokens = model.manifest, text.states.shape[1]
    if manifest.text_tokens not in (tokens, "tokens"):
        raise UsageError(
            f"the prompt is {tokens} tokens long with its padding, and the U-Net of "
            f"{manifest.name!r} takes {manifest.text_tokens} only; shorten it, or export the "
            "model with: sdrt export"
        )
    batch = len(request.seeds) * (1 if is_split else request.branches)
    channels, *size = latent_shape(manifest, request)
    shapes: dict[str, tuple[int, ...]] = {
        "sample": (batch, channels + manifest.conditions, *size),
        "timestep": (),
        "encoder_hidden_states": (batch, *text.states.shape[1:]),
    }
    for name, array in _added(manifest, text, request.size_conditioning).items():
        shapes[name] = (batch, *array.shape[1:])
    if width := guidance_width(manifest.graphs.get("unet")):
        shapes[GUIDANCE_INPUT] = (batch, width)
    residuals = control_residuals(model, request)
    if not request.feature_reuse.is_on:
        alone = Controlled(residuals) if residuals else None
        return OpenUNet(GuardedGraph(model.networks, UNET, shapes, state, alone), None)
    whole, shallow = (
        GuardedGraph(
            model.networks,
            name,
            shapes,
            state,
            _form(FeatureCut(form, request.feature_reuse.depth), residuals),
        )
        for name, form in FORMS.items()
    )
    return OpenUNet(whole, shallow)


def _form(cut: FeatureCut, residuals: tuple[str, ...]) -> Form:
    return Controlled(residuals, cut) if residuals else cut


def make_denoiser(
    manifest: Manifest,
    request: Request,
    steps: Steps,
    unet: UNet,
    conditioning: PromptConditioning,
    conditions: Latents | None = None,
) -> Denoiser:
    """The denoiser of a request, which is all of it that a sampler sees.

    `conditions` are the channels that the U-Net takes in addition to the latents, if any.
    """
    positive, negative = conditioning.positive, conditioning.negative
    negative_size = request.negative_size_conditioning
    return Denoiser(
        unet=unet,
        steps=steps,
        prediction=manifest.prediction,
        positive=positive.states,
        negative=negative.states if negative else None,
        conditions=conditions,
        added=_added(manifest, positive, request.size_conditioning),
        negative_added=_added(manifest, negative, negative_size) if negative else {},
        guidance=request.guidance,
        clipping=request.sampler_settings.clipping,
        timestep_scaling=request.sampler_settings.timestep_scaling,
    )


def _added(manifest: Manifest, text: TextConditioning, size: SizeConditioning | None) -> Added:
    """SDXL's inputs besides embeddings: the pooled embedding, and sizes and crop."""
    added: dict[str, Array] = {}
    if text.pooled is not None and manifest.pooled_width is not None:
        added[POOLED] = text.pooled
    if size:
        added[PICTURE] = np.repeat(size.row, len(text.states), axis=0)
    return added
