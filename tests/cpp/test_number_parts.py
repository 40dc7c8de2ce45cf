"""The C++ host's text and numbers beside Python's: the same ids, noise, levels and steps."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.manifest import Curve, Prediction, Schedule, Spacing
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.noise import MAX_SEED, Noise
from sdrt.sampling.sampler_settings import SCHEDULE_OPTIONS, SamplerSettings
from sdrt.sampling.schedule import TrainingNoise
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer, weighted
from tests.cpp.conftest import Ask, Command, asking
from tests.cpp.prompts import thousand

SAMPLERS: dict[str, list[dict[str, Any]]] = {
    "ddim": [{}, {"eta": 0.5}, {"final": "zero"}],
    "euler": [{}, {"final": "min"}],
    "euler_a": [{}, {"eta": 0.3}],
    "dpm++2m": [
        {},
        {"order": 1},
        {"order": 3},
        {"solver_type": "heun"},
        {"lower_order_final": False, "order": 3},
        {"euler_at_final": True},
        {"final": "min"},
    ],
    "unipc": [
        {},
        {"order": 1},
        {"order": 3},
        {"solver_type": "bh1", "order": 3},
        {"predict_x0": False},
        {"lower_order_final": False, "final": "min"},
    ],
    "lcm": [{}, {"original_steps": 100}],
}


@pytest.fixture(scope="module")
def ask(sanitized_build: Path, clean_environment: dict[str, str]) -> Ask:
    """Ask the C++ parts, built with the sanitizers."""
    return asking(sanitized_build / "number-parts", clean_environment)


def test_a_thousand_prompts_have_the_same_ids_and_weights(ask: Ask, demo: Artifact) -> None:
    folder, prompts = demo.root / "tokenizer", thousand()
    tokenizer = Tokenizer(folder, 77)
    (answers,) = ask({"verb": "tokens", "folder": str(folder), "length": 77, "prompts": prompts})
    wrong = []
    for text, answer in zip(prompts, answers, strict=True):
        prompt = parse(text)
        tokens = tokenizer.encode(prompt)
        expected = {
            "chunks": [[[one.text, one.weight] for one in chunk] for chunk in prompt.chunks],
            "warnings": prompt.warnings,
            "shape": list(tokens.ids.shape),
            "ids": tokens.ids.ravel().tolist(),
            "weights": tokens.weights.ravel().tolist(),
        }
        if answer != expected:
            wrong.append((text, expected, answer))
    assert not wrong, f"{len(wrong)} of {len(prompts)} differ; the first: {wrong[0]}"
    assert len(prompts) == 1000


def test_every_character_has_the_same_ids(ask: Ask, demo: Artifact) -> None:
    """Alone and between letters, where its class decides what is one word."""
    folder = demo.root / "tokenizer"
    tokenizer = Tokenizer(folder, 77)
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000][::23]
    texts = [
        " ".join(f"a{c}b{c}" for c in characters[i : i + 500])
        for i in range(0, len(characters), 500)
    ]
    texts = [text.translate({ord(c): " " for c in "()[]\\:"}) for text in texts]
    (answers,) = ask({"verb": "tokens", "folder": str(folder), "length": 77, "prompts": texts})
    for text, answer in zip(texts, answers, strict=True):
        assert answer["ids"] == tokenizer.encode(parse(text)).ids.ravel().tolist(), ascii(text)


@pytest.mark.parametrize("kind", ["scaled", "cancelled", "plain"])
def test_states_are_weighted_alike(ask: Ask, kind: str) -> None:
    random = np.random.default_rng(3)
    states = random.standard_normal((1, 77, 32)).astype(np.float32) + np.float32(0.2)
    weights = random.uniform(0.2, 2.0, 77).astype(np.float32)
    if kind == "plain":
        weights = np.ones(77, np.float32)
    if kind == "cancelled":
        states = np.ones((1, 2, 32), np.float32)
        weights = np.array([1, -1], np.float32)
    (answer,) = ask({"verb": "weighted", "states": _array(states), "weights": weights.tolist()})
    np.testing.assert_allclose(answer, weighted(states, weights).ravel(), rtol=3e-7)


def test_noise_is_bit_equal(ask: Ask) -> None:
    shapes: list[list[int]] = [[n] for n in (1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 100, 1000)]
    shapes += [[4, 8, 8], [4, 16, 24], [4, 64, 64], [3, 5, 7], [1], [15], [2, 3]]
    commands = [
        {"verb": "drawn", "seeds": seeds, "shapes": shapes}
        for seeds in ([0], [1, 2, 3], [42], [2**32 - 1, 2**32], [MAX_SEED], [123456789, 987654321])
    ]
    for command, answers in zip(commands, ask(*commands), strict=True):
        noise = Noise(command["seeds"])  # type: ignore[arg-type]
        for shape, answer in zip(shapes, answers, strict=True):
            expected = noise.draw(shape)
            assert answer["shape"] == list(expected.shape)
            assert np.array_equal(np.array(answer["bits"], np.uint32), expected.ravel().view("u4"))


def test_levels_and_timesteps_are_equal(ask: Ask) -> None:
    schedules: list[dict[str, Any]] = [{"curve": curve} for curve in get_args(Curve)]
    schedules += [{"zero_terminal_snr": True}, {"train_steps": 500}]
    commands: list[dict[str, Any]] = [
        {"sampler": sampler, "options": options, "schedule": schedule, "count": count, **spacing}
        for sampler, choices in SAMPLERS.items()
        for options in choices
        if not options or options.keys() & SCHEDULE_OPTIONS
        for schedule in schedules
        for count in ((1, 4, 50) if sampler == "lcm" else (1, 7, 20, 100, 500))
        for spacing in _spacings()
    ]
    answers = ask(*({"verb": "levels", **command} for command in commands))
    for command, answer in zip(commands, answers, strict=True):
        noise = TrainingNoise.from_schedule(Schedule.model_validate(command["schedule"]))
        steps = _recipe(command).steps(noise, command["count"])
        np.testing.assert_allclose(answer["training"], noise.sigmas, rtol=1e-12)
        np.testing.assert_allclose(answer["sigmas"], steps.sigmas, rtol=1e-11, err_msg=str(command))
        np.testing.assert_allclose(answer["timesteps"], steps.timesteps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "command",
    [
        {"verb": "levels", "sampler": "lcm", "count": 51},
        {"verb": "levels", "sampler": "euler", "count": 0},
        {"verb": "levels", "sampler": "euler", "count": 1001},
        {"verb": "drawn", "seeds": [MAX_SEED + 1], "shapes": [[1]]},
    ],
)
def test_what_cannot_be_is_the_same_error(ask: Ask, command: dict[str, Any]) -> None:
    (answer,) = ask(command)
    with pytest.raises(UsageError) as error:
        _levels_or_noise(command)
    assert answer == {"error": "UsageError", "code": 2, "message": str(error.value)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trajectories_agree(ask: Ask, sampler: str) -> None:
    shape = [4, 6, 6]
    counts = (1, 2, 4, 8) if sampler == "lcm" else (1, 2, 3, 8, 20)
    commands: list[dict[str, Any]] = [
        {"sampler": sampler, "options": options, "count": count, "shape": shape, **spacing}
        for options in SAMPLERS[sampler]
        for count in counts
        for spacing in _spacings()
    ]
    answers = ask(*({"verb": "trajectory", **command} for command in commands))
    for command, answer in zip(commands, answers, strict=True):
        sampler_settings, noise = _recipe(command), Noise([1, 2])
        steps = sampler_settings.steps(TrainingNoise.from_schedule(Schedule()), command["count"])
        x = noise.draw(shape) * np.float32(np.sqrt(1 + steps.sigmas[0] ** 2))
        path = list(sampler_settings.trajectory(_analytic, x, steps, partial(noise.draw, shape)))
        assert [step["index"] for step in answer["path"]] == list(range(len(path)))
        for step, (expected, denoised) in zip(answer["path"], path, strict=True):
            np.testing.assert_allclose(
                step["x"], expected.ravel(), 1e-5, 1e-5, err_msg=str(command)
            )
            np.testing.assert_allclose(step["denoised"], denoised.ravel(), 1e-5, 1e-5)
        assert answer["reached"] == answer["path"][-1]["x"]


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_denoisers_agree(ask: Ask, prediction: Prediction) -> None:
    random = np.random.default_rng(7)
    x = random.standard_normal((2, 4, 6, 6)).astype(np.float32) * np.float32(3)
    positive, negative = random.standard_normal((2, 2, 77, 8)).astype(np.float32)
    guidances = [
        Guidance(),
        Guidance(7.5),
        Guidance(7.5, is_split=True),
        Guidance(5.0, rescale=0.7),
        Guidance(5.0, start=0.2, end=0.8),
    ]
    clippings = [{}, {"clip": 1.5}, {"thresholding": 0.9, "thresholding_max": 4.0}]
    cases = [
        (guidance, options, sampler, width, is_guided)
        for guidance in guidances
        for options in clippings
        for sampler, width in (("euler", 0), ("lcm", 6), ("lcm", 7))
        for is_guided in (True, False)
    ]
    noise, sigmas, commands, expected = (
        TrainingNoise.from_schedule(Schedule()),
        [14.0, 2.5, 0.3],
        [],
        [],
    )
    for guidance, options, sampler, width, is_guided in cases:
        command: dict[str, Any] = {"sampler": sampler, "options": options, "count": 4}
        sampler_settings = _recipe(command)
        steps = sampler_settings.steps(noise, 4)
        levels = [*steps.sigmas[:-1], *sigmas]
        denoise = Denoiser(
            unet=_FakeUNet(width),
            steps=steps,
            prediction=prediction,
            positive=positive,
            negative=negative if is_guided else None,
            guidance=guidance,
            clipping=sampler_settings.clipping,
            timestep_scaling=sampler_settings.timestep_scaling,
        )
        expected.append([denoise(x, sigma).ravel() for sigma in levels])
        command |= {"verb": "denoised", "prediction": prediction, "guidance": vars(guidance)}
        command |= {"x": _array(x), "positive": _array(positive), "guidance_width": width}
        command |= {"negative": _array(negative)} if is_guided else {}
        commands.append(command | {"sigmas": levels})
    for case, answer, pictures in zip(cases, ask(*commands), expected, strict=True):
        np.testing.assert_allclose(answer, pictures, 1e-5, 1e-4, err_msg=str(case))


class _FakeUNet:
    """A U-Net that every input has an influence on (see `unet` in number_parts.cpp)."""

    def __init__(self, guidance_width: int) -> None:
        shape = ("batch", guidance_width)
        inputs = [SimpleNamespace(name="timestep_cond", shape=shape)] if guidance_width else []
        self.network: Any = SimpleNamespace(spec=SimpleNamespace(inputs=inputs))

    def run(self, feeds: Mapping[str, Array], stop: object = None) -> dict[str, Array]:
        embeddings: Embeddings = feeds["encoder_hidden_states"]
        more = embeddings.mean(axis=(1, 2), dtype=np.float64)
        if "timestep_cond" in feeds:
            more = more + feeds["timestep_cond"][:, 0]
        waves = np.sin(feeds["sample"].astype(np.float64) * 2 + more[:, None, None, None])
        output = waves + feeds["timestep"].astype(np.float64) * 1e-3
        return {"out_sample": output.astype(np.float32)}


def _analytic(x: Latents, sigma: float) -> Latents:
    """Clean latents of data around +0.8 and -0.8, exactly: smooth, and not linear."""
    mean, variance = 0.8, 0.04
    total = variance + sigma * sigma
    wide = x.astype(np.float64)
    side = mean * np.tanh(wide * mean / total)
    return np.asarray((variance * wide + sigma * sigma * side) / total, np.float32)


def _spacings() -> list[dict[str, Any]]:
    even = [
        {"spacing": spacing, "offset": offset} for spacing in get_args(Spacing) for offset in (0, 1)
    ]
    return [*even, {"scheduler": "karras"}, {"scheduler": "exponential"}]


def _levels_or_noise(command: Command) -> None:
    if command["verb"] == "drawn":
        Noise(command["seeds"])
    else:
        _recipe(command).steps(TrainingNoise.from_schedule(Schedule()), command["count"])


def _recipe(command: Command) -> SamplerSettings:
    known = ("sampler", "scheduler", "spacing", "offset", "options")
    return SamplerSettings(**{name: command[name] for name in known if name in command})


def _array(array: Array) -> dict[str, Any]:
    return {"shape": list(array.shape), "values": array.ravel().tolist()}
