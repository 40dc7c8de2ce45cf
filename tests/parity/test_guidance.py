"""Guidance and what is done to clean latents equal diffusers'."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LatentConsistencyModelPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.manifest import TensorSpec
from sdrt.pipeline import Pipeline
from sdrt.sampling.guidance import Clipping, Guidance
from tests.runtime.fakes import SMALL, pretend_tiny


@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_rescaled_guidance_equals_diffusers(rescale: float) -> None:
    negative, positive = np.random.default_rng(3).standard_normal((2, 3, 4, 8, 8), np.float32)
    guided = negative + (positive - negative) * 7.5
    theirs = rescale_noise_cfg(torch.from_numpy(guided), torch.from_numpy(positive), rescale)
    ours = Guidance(7.5, rescale=rescale).combine(negative, positive)
    assert ours.dtype == np.float32
    # Theirs divides by one value less in the deviation.
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("share", "most"), [(0.9, 1.5), (0.995, 1.0), (0.5, 100.0)])
def test_dynamic_thresholding_equals_diffusers(share: float, most: float) -> None:
    latents = np.random.default_rng(5).standard_normal((3, 4, 8, 8), np.float32) * 3
    theirs = DDIMScheduler(
        thresholding=True, dynamic_thresholding_ratio=share, sample_max_value=most
    )._threshold_sample(torch.from_numpy(latents))
    ours = Clipping(share=share, most=most).apply(latents)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)


def test_networks_that_guide_themselves_are_told_how_strongly(tiny: Artifact) -> None:
    """Their U-Net takes the strength as an embedding, and never runs for the negative prompt."""
    unet = tiny.manifest.graphs["unet"]
    strength = TensorSpec(name="timestep_cond", dtype="float32", shape=("batch", 256))
    graphs = {
        **tiny.manifest.graphs,
        "unet": unet.model_copy(update={"inputs": (*unet.inputs, strength)}),
    }
    manifest = tiny.manifest.model_copy(update={"graphs": graphs})
    embeddings = []

    def listening(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            embeddings.append(feeds["timestep_cond"])
        return pretend_tiny(name, feeds)

    pipe = Pipeline(Artifact(tiny.root, manifest), FakeBackend(listening))
    pipe("a boat", sampler="lcm", guidance_scale=8.5, num_images_per_prompt=2, **SMALL)
    assert [embedding.shape for embedding in embeddings] == [(2, 256)] * 3
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
        None, torch.tensor([7.5, 7.5]), 256
    )
    # Theirs are waves of float32 numbers up to 7500, which have three digits behind the point.
    np.testing.assert_allclose(embeddings[0], theirs.numpy(), atol=1e-3)
