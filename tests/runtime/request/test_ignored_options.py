"""Options without effect are named in warnings."""

from typing import Any

import numpy as np
import pytest

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import EMBEDS, SMALL, pixels, pretend_tiny


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ({"negative_prompt": "fog"}, []),
        ({"guidance_scale": 1.0}, []),
        (
            {"guidance_scale": 1.0, "negative_prompt": "fog", "guidance_rescale": 0.7},
            ["negative_prompt, guidance_rescale, because at a guidance scale of 1.0 there is no"],
        ),
        (
            {"guidance_scale": 0, "guidance_split": True, "guidance_start": 0.2},
            ["guidance_start, guidance_split, because at a guidance scale of 0"],
        ),
        (
            {"guidance_end": 0.0, "negative_prompt_embeds": EMBEDS},
            ["negative_prompt_embeds, because guidance starts and ends at 0.0"],
        ),
        ({"spacing": "trailing"}, []),
        (
            {"spacing": "trailing", "scheduler": "karras", "sampler_options": {"rho": 5.0}},
            ["spacing, because the scheduler 'karras' spaces the noise levels"],
        ),
        (
            {"spacing": "trailing", "sampler": "lcm"},
            ["spacing, because lcm goes through timesteps that models were distilled on"],
        ),
        (
            {"sampler_options": {"rho": 5.0, "sigma_min": 0.2, "thresholding_max": 2.0}},
            [
                "rho, because the scheduler 'default' has none",
                "sigma_min, because the scheduler 'default' has its own levels",
                "thresholding_max, because there is no thresholding",
            ],
        ),
    ],
)
def test_what_is_not_heeded_is_said(
    tiny: Artifact, options: dict[str, Any], warnings: list[str]
) -> None:
    """And is not heeded indeed: the pictures are those that are made without it."""
    pipe = Pipeline(tiny, FakeBackend(pretend_tiny))
    result = pipe("a boat", seed=1, **SMALL, **options)
    assert len(result.warnings) == len(warnings)
    for found, expected in zip(result.warnings, warnings, strict=True):
        assert found.startswith(f"without effect: {expected}")
    named = (
        warning.removeprefix("without effect: ").split(", because ")[0]
        for warning in result.warnings
    )
    unheeded = {name for names in named for name in names.split(", ")}
    rest = {name: value for name, value in options.items() if name not in unheeded}
    given = rest.get("sampler_options", {})
    own = {name: value for name, value in given.items() if name not in unheeded}
    heeded = pipe("a boat", seed=1, **SMALL, **{**rest, "sampler_options": own})
    np.testing.assert_array_equal(pixels(result.images[0]), pixels(heeded.images[0]))
    assert heeded.warnings == []
