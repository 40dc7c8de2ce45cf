"""Noise, noise levels and samplers: the C++ host computes the numbers of Python."""

from functools import partial
from typing import Any, get_args

import numpy as np
import pytest

from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.manifest import Curve, Schedule, Spacing
from sdrt.sampling.noise import MAX_SEED, Noise
from sdrt.sampling.sampler_settings import SCHEDULE_OPTIONS
from sdrt.sampling.schedule import TrainingNoise
from tests.cpp.commands import Ask, Command, sampler_settings_of

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
        {"sigma_min": 0.2},
    ],
    "lcm": [{}, {"original_steps": 100}],
}


def test_noise_is_bit_equal(results: Ask) -> None:
    shapes: list[list[int]] = [[n] for n in (1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 100, 1000)]
    shapes += [[4, 8, 8], [4, 16, 24], [4, 64, 64], [3, 5, 7], [1], [15], [2, 3]]
    commands = [
        {"op": "noise", "seeds": seeds, "shapes": shapes}
        for seeds in ([0], [1, 2, 3], [42], [2**32 - 1, 2**32], [MAX_SEED], [123456789, 987654321])
    ]
    for command, answers in zip(commands, results(*commands), strict=True):
        noise = Noise(command["seeds"])  # type: ignore[arg-type]
        for shape, answer in zip(shapes, answers, strict=True):
            expected = noise.draw(shape)
            assert answer["shape"] == list(expected.shape)
            assert np.array_equal(np.array(answer["bits"], np.uint32), expected.ravel().view("u4"))


def test_levels_and_timesteps_are_equal(results: Ask) -> None:
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
    answers = results(*({"op": "levels", **command} for command in commands))
    for command, answer in zip(commands, answers, strict=True):
        noise = TrainingNoise.from_schedule(Schedule.model_validate(command["schedule"]))
        steps = sampler_settings_of(command).steps(noise, command["count"])
        np.testing.assert_allclose(answer["training"], noise.sigmas, rtol=1e-12)
        np.testing.assert_allclose(answer["sigmas"], steps.sigmas, rtol=1e-11, err_msg=str(command))
        np.testing.assert_allclose(answer["timesteps"], steps.timesteps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "command",
    [
        {"op": "levels", "sampler": "lcm", "count": 51},
        {"op": "levels", "sampler": "euler", "count": 0},
        {"op": "levels", "sampler": "euler", "count": 1001},
        {"op": "noise", "seeds": [MAX_SEED + 1], "shapes": [[1]]},
    ],
)
def test_what_cannot_be_is_the_same_error(ask: Ask, command: dict[str, Any]) -> None:
    (answer,) = ask(command)
    with pytest.raises(UsageError) as error:
        _levels_or_noise(command)
    assert answer == {"error": "UsageError", "code": 2, "message": str(error.value)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trajectories_agree(results: Ask, sampler: str) -> None:
    shape = [4, 6, 6]
    counts = (1, 2, 4, 8) if sampler == "lcm" else (1, 2, 3, 8, 20)
    commands: list[dict[str, Any]] = [
        {"sampler": sampler, "options": options, "count": count, "shape": shape, **spacing}
        for options in SAMPLERS[sampler]
        for count in counts
        for spacing in _spacings()
    ]
    answers = results(*({"op": "trajectory", **command} for command in commands))
    for command, answer in zip(commands, answers, strict=True):
        sampler_settings, noise = sampler_settings_of(command), Noise([1, 2])
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
    if command["op"] == "noise":
        Noise(command["seeds"])
    else:
        sampler_settings_of(command).steps(
            TrainingNoise.from_schedule(Schedule()), command["count"]
        )
