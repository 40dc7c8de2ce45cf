"""Controls as options: their form on the command line, their hints, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.request.controls import ControlRequest, parse_control
from sdrt.request.resolve import resolve


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "hint:2.png"  # a name that ends like a weight
    Image.new("RGB", (96, 64), "red").save(path)
    return path


def resolved(tiny: Artifact, *controls: object, **options: Any) -> tuple[ControlRequest, ...]:
    return resolve(tiny.manifest, "a boat", {"controls": controls, **options}).controls  # type: ignore[typeddict-item]


def test_the_command_lines_form_has_weight_and_range(picture: Path) -> None:
    plain = parse_control(f"nets/canny={picture}")
    assert plain == sdrt.Control("nets/canny", str(picture))
    assert parse_control(f"nets/canny={picture}:0.5").weight == 0.5
    full = parse_control(f"canny:nets/canny={picture}:0.5:0.1:0.9")
    assert full == sdrt.Control("nets/canny", str(picture), 0.5, 0.1, 0.9, "canny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nets/canny", "expected .*FOLDER=PICTURE"),
        ("=x.png", "expected .*FOLDER=PICTURE"),
        ("nets/canny=x.png:1:0.5", "expected .*WEIGHT"),
        ("cany:nets/canny=x.png", "unknown preprocessor 'cany'.* did you mean 'canny'"),
    ],
)
def test_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_control(text)


def test_hints_cover_the_size_of_the_run_and_are_cropped(tiny: Artifact, tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 64), "black")
    image.paste("white", (0, 0, 16, 64))  # cut off, as the middle square is kept
    image.paste((255, 0, 51), (48, 0, 64, 64))
    (control,) = resolved(tiny, sdrt.Control("net", image), width=64, height=64)
    tensor = control.tensor(64, 64)
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor.dtype == np.float32
    assert tensor[0, 0, :, 0].max() == 0
    assert np.allclose(tensor[0, :, 30, 40], [1, 0, 0.2])
    assert control.tensor(128, 128).shape == (1, 3, 128, 128)


def test_a_range_counts_whole_steps() -> None:
    control = ControlRequest("net", Image.new("RGB", (8, 8)), None, 1.0, 0.25, 0.75)
    assert [control.is_active(index, 4) for index in range(4)] == [False, True, True, False]
    always = ControlRequest("net", Image.new("RGB", (8, 8)), None, 1.0, 0.0, 1.0)
    assert all(always.is_active(index, 7) for index in range(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": float("nan")}, "weight of the control net is nan; expected a finite"),
        ({"weight": -1.0}, "weight of the control net is -1.0"),
        ({"start": 0.8, "end": 0.2}, "starts at 0.8 and ends at 0.2; expected the start before"),
        ({"end": 1.5}, "end of the control net is 1.5"),
        ({"image": "nowhere.png"}, "there is no hint nowhere.png"),
        ({"image": Image.new("I;16", (64, 64))}, "hint has pixels of the kind 'I;16'"),
        ({"image": Image.new("RGB", (4, 64))}, "hint is 4x64 pixels"),
        ({"preprocessor": "depth"}, "unknown preprocessor 'depth'; known: canny, scribble, tile"),
    ],
)
def test_wrong_values_are_named(tiny: Artifact, change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"controlnet": "net", "image": Image.new("RGB", (64, 64)), **change}
    with pytest.raises(UsageError, match=message):
        resolved(tiny, sdrt.Control(**given))


def test_controls_are_a_list_and_guessing_needs_some(tiny: Artifact) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"controls": "net=x.png"}, "expected a list"),
        ({"controls": [3]}, "a control is 3"),
        ({"guess_mode": True}, "guess_mode was given without controls"),
        ({"controls": [], "guess_mode": 1}, "guess_mode is 1; expected True or False"),
    )
    for options, message in cases:
        with pytest.raises(UsageError, match=message):
            resolve(tiny.manifest, "a boat", options)  # type: ignore[arg-type]
