"""What a U-Net predicts is read off its answers, and nobody is believed against them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.errors import UsageError
from sdrt.sampling.schedule import TrainingNoise
from sdrt_export.presets import read_preset
from sdrt_export.sources.prediction_probe import (
    OPTION,
    Echo,
    Probe,
    UNetFunction,
    probe,
    with_probed_prediction,
)
from sdrt_export.sources.random_weights import RandomCheckpoint


@pytest.fixture(scope="module")
def trained(demo: Artifact) -> UNetFunction:
    """The embedded model, which was trained to predict noise."""
    backend = open_backend("onnxruntime")
    graph = backend.open(demo.network("unet", backend.formats))

    def predict(sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        feeds = {
            "sample": sample.numpy(),
            "timestep": np.array(float(timestep), np.float32),
            "encoder_hidden_states": states.numpy(),
        }
        return torch.from_numpy(graph.run(feeds)["out_sample"])

    return predict


def in_terms_of(
    unet: UNetFunction, noise: TrainingNoise, form: Callable[..., torch.Tensor]
) -> UNetFunction:
    """The same model of the same data, that says `form(x, eps, a, s)` where x = a x0 + s eps."""

    def predict(sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        sigma = float(noise.sigmas[int(timestep)])
        a = 1 / (1 + sigma * sigma) ** 0.5
        return form(sample, unet(sample, timestep, states), a, sigma * a)

    return predict


def test_the_embedded_model_predicts_noise(demo: Artifact, trained: UNetFunction) -> None:
    result = probe(trained, 4, 128, demo.manifest.schedule)
    assert result.prediction == "epsilon"
    assert result.high.correlation > 0.99


def test_a_model_that_predicts_v_is_told(demo: Artifact, trained: UNetFunction) -> None:
    schedule = demo.manifest.schedule
    v = in_terms_of(
        trained, TrainingNoise.from_schedule(schedule), lambda x, eps, a, s: (eps - s * x) / a
    )
    assert probe(v, 4, 128, schedule).prediction == "v_prediction"


def test_a_model_that_predicts_clean_latents_is_taken_for_neither(
    demo: Artifact, trained: UNetFunction
) -> None:
    schedule = demo.manifest.schedule
    x0 = in_terms_of(
        trained, TrainingNoise.from_schedule(schedule), lambda x, eps, a, s: (x - s * eps) / a
    )
    assert probe(x0, 4, 128, schedule).prediction is None


@pytest.mark.parametrize("preset", ["tiny", "tiny-sd2", "tiny-sd2-v"])
def test_random_weights_tell_nothing(preset: str) -> None:
    checkpoint = RandomCheckpoint.from_preset(*read_preset(preset))
    unet, width = checkpoint.unet(), checkpoint.configs["unet"]["cross_attention_dim"]
    result = probe(lambda *inputs: unet(*inputs).sample, 4, width, checkpoint.schedule)
    assert result.prediction is None


EPSILON = Probe(Echo(1.0, 1.0), Echo(0.9, 0.9))
V = Probe(Echo(0.0, 0.0), Echo(0.9, 0.9))
NOTHING = Probe(Echo(0.0, 0.0), Echo(0.0, 0.0))


def checkpoint_of(said: str, by: str) -> RandomCheckpoint:
    made = RandomCheckpoint.from_preset(*read_preset("tiny")).with_scheduler(prediction_type=said)
    return RandomCheckpoint(made.name, made.source, made.configs, prediction_source=by)


@pytest.mark.parametrize(
    ("said", "by", "shown", "expected"),
    [
        ("epsilon", "a file", EPSILON, "epsilon"),
        ("v_prediction", "a file", V, "v_prediction"),
        ("v_prediction", "a file", NOTHING, "v_prediction"),
        ("epsilon", "", V, "v_prediction"),
        ("v_prediction", "", EPSILON, "epsilon"),
        ("epsilon", OPTION, V, "epsilon"),
    ],
)
def test_weights_decide_and_an_option_insists(
    said: str, by: str, shown: Probe, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert with_probed_prediction(checkpoint_of(said, by), shown).prediction == expected
    assert f"prediction: {expected}, " in caplog.text


@pytest.mark.parametrize(
    ("said", "by", "shown", "message"),
    [
        ("epsilon", "a file", V, "a file says .* predicts epsilon, and its weights show v_pred"),
        ("v_prediction", "a file", EPSILON, "give --prediction epsilon, or v_prediction to insist"),
        ("epsilon", "", NOTHING, "do not show what the U-Net predicts"),
    ],
)
def test_contradictions_and_silence_are_errors(
    said: str, by: str, shown: Probe, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        with_probed_prediction(checkpoint_of(said, by), shown)
