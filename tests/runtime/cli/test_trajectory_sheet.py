"""A picture of a run has the first and the last step, and evenly spaced ones between them."""

from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.cli.trajectory_sheet import TrajectorySheet
from sdrt.errors import CancelledError

SMALL: dict[str, Any] = {"width": 64, "height": 64, "seed": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "columns", "shown"),
    [
        (1, 6, [1]),
        (2, 6, [1, 2]),
        (6, 6, [1, 2, 3, 4, 5, 6]),
        (7, 4, [1, 3, 5, 7]),
        (20, 6, [1, 5, 9, 12, 16, 20]),
        (9, 2, [1, 9]),
    ],
)
def test_which_steps_are_shown(steps: int, columns: int, shown: list[int]) -> None:
    pipe = sdrt.load(backend="onnxruntime")
    trajectory = TrajectorySheet(columns)
    pipe("a boat", callback=trajectory.add, num_inference_steps=steps, **SMALL)
    assert [step.index + 1 for step in trajectory.steps] == shown


def test_each_image_has_a_row_of_its_own_guesses() -> None:
    pipe = sdrt.load(backend="onnxruntime")
    run = pipe.start("a boat", num_images_per_prompt=2, num_inference_steps=3, **SMALL)
    trajectory, guesses = TrajectorySheet(), []
    for step in run:
        trajectory.add(step)
        guesses.append(run.decode(step.denoised))
    picture = trajectory.picture(run)
    head = picture.height - (64 + 4 + 64)
    assert picture.width == 3 * 68 - 4
    assert head > 0
    for column, images in enumerate(guesses):
        for row, image in enumerate(images):
            left, top = column * 68, head + row * 68
            part = picture.crop((left, top, left + 64, top + 64))
            np.testing.assert_array_equal(np.asarray(part), np.asarray(image))
    assert trajectory.sheet(run).steps == [1, 2, 3]


def test_a_cancelled_run_decodes_nothing_more() -> None:
    run = sdrt.load(backend="onnxruntime").start("a boat", num_inference_steps=1, **SMALL)
    trajectory = TrajectorySheet()
    for step in run:
        trajectory.add(step)
    run.cancel()
    with pytest.raises(CancelledError):
        trajectory.picture(run)
