"""A second pass paints the first one's picture over in a larger size."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.pipeline import load
from sdrt.request.hires import read_scale
from sdrt_bench.similarity import psnr_db

FIRST: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 4, "seed": 5}


def test_two_passes_are_two_runs_one_after_the_other(demo: Artifact) -> None:
    pipe = load(demo.root, "onnxruntime")
    run = pipe.start("a red boat", hires=1.5, hires_strength=0.5, hires_steps=6, **FIRST)
    steps = list(run)
    assert [step.index for step in steps] == list(range(7))
    assert {step.count for step in steps} == {len(run)} == {7}
    assert [step.latents.shape[2] for step in steps] == [8] * 4 + [12] * 3
    result = run.result()
    first = pipe("a red boat", **FIRST).images[0]
    larger = first.resize((96, 96), Image.Resampling.LANCZOS)
    again = pipe("a red boat", image=larger, strength=0.5, num_inference_steps=6, seed=5)
    np.testing.assert_array_equal(np.asarray(result.images[0]), np.asarray(again.images[0]))
    text = result.parameters[0].to_a1111()
    assert "Size: 64x64" in text
    assert "Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 6" in text


def test_a_little_strength_keeps_what_the_first_pass_painted(demo: Artifact) -> None:
    pipe, first = load(demo.root, "onnxruntime"), {**FIRST, "num_inference_steps": 10}
    small = pipe("a red boat", **first).images[0]
    large = pipe("a red boat", hires=2.0, hires_strength=0.2, **first).images[0]
    other = pipe("a red boat", **{**first, "seed": 6}).images[0]
    assert large.size == (128, 128)
    shrunk = np.asarray(large.resize((64, 64), Image.Resampling.LANCZOS))
    assert psnr_db(np.asarray(small), shrunk) > psnr_db(np.asarray(small), np.asarray(other)) + 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hires": 1.0}, "expected a factor above 1"),
        ({"hires": 8.0, "width": 1024, "height": 1024}, "hires size is 8192"),
        ({"hires": 2.0, "hires_strength": 0.1}, "4 hires steps at a hires strength of 0.1"),
        ({"hires_steps": 3}, "hires_steps was given without hires"),
    ],
)
def test_a_second_pass_that_cannot_be_is_refused(
    demo: Artifact, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(demo.root, "onnxruntime").start("", **{**FIRST, **options})


def test_the_factor_is_written_as_people_say_it() -> None:
    assert [read_scale(text) for text in ("2x", "1.5X", "2")] == [2, 1.5, 2]
    with pytest.raises(UsageError, match="expected for example 2x"):
        read_scale("twice")
