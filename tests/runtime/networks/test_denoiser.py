"""The denoiser turns any kind of prediction into clean latents, and applies guidance."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sdrt.arrays import Array, Latents
from sdrt.backends import Network
from sdrt.backends.fake import FakeBackend
from sdrt.manifest import GraphSpec, Prediction, Schedule, TensorSpec
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.guidance import Clipping, Guidance
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import TrainingNoise

CLEAN = np.linspace(-1, 1, 256, dtype=np.float32).reshape(1, 4, 8, 8)
NOISE = np.random.default_rng(1).standard_normal(CLEAN.shape).astype(np.float32)
STEPS = SamplerSettings("euler", spacing="trailing").steps(
    TrainingNoise.from_schedule(Schedule()), 10
)
SIGMA = float(STEPS.sigmas[4])

UNET = GraphSpec(
    files={"onnx": ("unet/model.onnx",)},
    inputs=(
        TensorSpec(name="sample", dtype="float32", shape=("batch", 4, "height", "width")),
        TensorSpec(name="timestep", dtype="float32", shape=()),
        TensorSpec(name="encoder_hidden_states", dtype="float32", shape=("batch", "tokens", 2)),
    ),
    outputs=(TensorSpec(name="out_sample", dtype="float32", shape=("batch", 4, "h", "w")),),
)


def denoise(
    predict: FakeBackend, prediction: Prediction, guidance: float = 1.0
) -> tuple[Latents, list[str]]:
    graph = predict.open(Network("unet", UNET, (Path("unet/model.onnx"),), "fp32"))
    embeddings = np.ones((1, 77, 2), np.float32)
    negative = np.zeros_like(embeddings) if guidance > 1 else None
    denoiser = Denoiser(graph, STEPS, prediction, embeddings, negative, Guidance(guidance))
    return denoiser(CLEAN + SIGMA * NOISE, SIGMA), predict.ran


# What a perfect U-Net answers for a noisy sample of variance one: a x0 + s eps with a^2 + s^2 = 1.
A, B = 1 / np.sqrt(1 + SIGMA**2), SIGMA / np.sqrt(1 + SIGMA**2)
ANSWERS = {
    "epsilon": NOISE,
    "v_prediction": np.float32(A) * NOISE - np.float32(B) * CLEAN,
    "sample": CLEAN,
}


@pytest.mark.parametrize("prediction", sorted(ANSWERS))
def test_each_kind_of_prediction_gives_the_same_clean_latents(prediction: Prediction) -> None:
    def perfect(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        expected = np.float32(A) * CLEAN + np.float32(B) * NOISE
        np.testing.assert_allclose(feeds["sample"], expected, atol=1e-5)
        assert feeds["timestep"] == STEPS.timesteps[4]
        return {"out_sample": ANSWERS[prediction]}

    latents, _ = denoise(FakeBackend(perfect), prediction)
    np.testing.assert_allclose(latents, CLEAN, atol=2e-4)


def test_guidance_moves_away_from_the_negative_prompt_in_one_batch() -> None:
    def by_prompt(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        assert feeds["sample"].shape[0] == 2
        level = feeds["encoder_hidden_states"][:, 0, 0]  # 0 negative, 1 positive
        return {"out_sample": np.ones_like(feeds["sample"]) * level[:, None, None, None]}

    latents, ran = denoise(FakeBackend(by_prompt), "sample", guidance=7.5)
    np.testing.assert_allclose(latents, 7.5)
    assert ran == ["unet"]


@pytest.mark.parametrize(
    ("start", "end", "guided"),
    [(0.0, 1.0, "1111111111"), (0.2, 0.8, "0011111100"), (0.0, 0.45, "1111100000")],
)
def test_guidance_covers_its_share_of_the_steps(start: float, end: float, guided: str) -> None:
    guidance = Guidance(7.5, start=start, end=end)
    coverage = [guidance.covers(STEPS.progress(float(sigma))) for sigma in STEPS.sigmas[:-1]]
    assert "".join("01"[covered] for covered in coverage) == guided


def test_clean_latents_are_clipped_where_asked() -> None:
    latents = np.array([-3, -0.5, 0, 2], np.float32).reshape(1, 1, 2, 2)
    assert Clipping(limit=1.5).apply(latents).ravel().tolist() == [-1.5, -0.5, 0, 1.5]
    assert Clipping().apply(latents) is latents


def test_consistency_models_are_bound_to_what_they_are_given() -> None:
    """At the end of time the answer is the noisy latent itself, far from it the network's."""
    lowest = STEPS.noise.sigmas[0]
    unet = FakeBackend(lambda name, feeds: {"out_sample": np.zeros_like(CLEAN)})
    graph = unet.open(Network("unet", UNET, (Path("unet/model.onnx"),), "fp32"))
    embeddings = np.ones((1, 77, 2), np.float32)
    denoiser = Denoiser(graph, STEPS, "sample", embeddings, timestep_scaling=10.0)
    np.testing.assert_allclose(denoiser(CLEAN, float(lowest)), CLEAN, rtol=1e-3)
    np.testing.assert_allclose(denoiser(CLEAN, SIGMA), 0, atol=1e-6)
