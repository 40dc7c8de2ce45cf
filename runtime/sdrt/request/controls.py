"""Controls: what ControlNets are to make of a run, each with its hint, weight and range."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdrt import validation
from sdrt.errors import UsageError
from sdrt.manifest import Manifest
from sdrt.request.init_image import fit_picture, open_picture
from sdrt.request.options import Control, Options
from sdrt.request.preprocessors import PREPROCESSORS, Pixels

MAX_WEIGHT = 10
FORM = "[KIND:]FOLDER=PICTURE[:WEIGHT[:START:END]]"


@dataclass(frozen=True)
class ControlRequest:
    """A control that was checked, with its picture opened."""

    controlnet: str
    """The path of the ControlNet's folder."""
    image: Image.Image = field(compare=False)
    """The picture as it was given, upright and in colour."""
    preprocessor: str | None
    """What makes the hint of the picture; None where it is the hint itself."""
    weight: float
    """The factor of the ControlNet's results."""
    start: float
    """The share of the steps after which it guides."""
    end: float
    """The share of the steps after which it no longer does."""

    def hint(self, width: int, height: int) -> Pixels:
        """The hint at the size of a pass: scaled to cover it, and cropped equally on both sides."""
        fitted = fit_picture(self.image, (width, height), Image.Resampling.LANCZOS)
        pixels: Pixels = np.asarray(fitted)
        return PREPROCESSORS[self.preprocessor](pixels) if self.preprocessor else pixels

    def tensor(self, width: int, height: int) -> npt.NDArray[np.float32]:
        """The ControlNet's input, (1, 3, height, width) in 0..1."""
        planes = self.hint(width, height).transpose(2, 0, 1)[None]
        return planes.astype(np.float32, "C") / np.float32(255)

    def is_active(self, index: int, count: int) -> bool:
        """Whether it guides the step of this number, from 0, of so many; as diffusers decides."""
        return not (index / count < self.start or (index + 1) / count > self.end)

    def record(self, width: int, height: int) -> dict[str, Any]:
        """It as the parameters of a picture hold it, with SHA-256 of the hint's pixels."""
        pixels = np.ascontiguousarray(self.hint(width, height))
        return {
            "hint": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "preprocessor": self.preprocessor,
            "weight": self.weight,
            "start": self.start,
            "end": self.end,
        }


def read_controls(manifest: Manifest, options: Options) -> dict[str, Any]:
    """Read the controls and whether they guess, as fields of a request.

    Raises `UsageError` for values that cannot be, and for pictures that cannot be read.
    """
    given = options.get("controls", ())
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise UsageError(f"controls is {given!r}; expected a list of sdrt.Control", "controls")
    guesses = validation.flag("guess_mode", options.get("guess_mode", False))
    if guesses and not given:
        raise UsageError("guess_mode was given without controls; give both")
    if given and manifest.picture_numbers == 5:
        raise UsageError(
            f"controls were given, and {manifest.name!r} is a refiner, for which there are no "
            "ControlNets; give them to the base model"
        )
    return {"controls": tuple(map(_read, given)), "guess_mode": guesses}


def parse_control(text: str) -> Control:
    """Read the command line's form; raises `UsageError` for a text that has another."""
    left, equals, right = text.partition("=")
    kind, colon, folder = left.partition(":")
    if not colon or kind not in PREPROCESSORS:
        if colon and not Path(left).exists():
            validation.known("preprocessor", kind, PREPROCESSORS)
        kind, folder = "", left
    picture, numbers = _picture_and_numbers(right)
    if not (equals and folder and picture) or len(numbers) not in (0, 1, 3):
        raise UsageError(f"--control {text}: expected {FORM}", "controls")
    weight, start, end = [*numbers, *(1.0, 0.0, 1.0)[len(numbers) :]]
    return Control(folder, picture, weight, start, end, kind or None)


def _picture_and_numbers(text: str) -> tuple[str, list[float]]:
    """A path, and the numbers behind colons after it."""
    numbers: list[float] = []
    while not Path(text).is_file():
        path, colon, last = text.rpartition(":")
        number = _number(last)
        if not colon or number is None:
            break
        text = path
        numbers.insert(0, number)
    return text, numbers


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(given: object) -> ControlRequest:
    control = parse_control(given) if isinstance(given, str) else given
    if not isinstance(control, Control):
        raise UsageError(f"a control is {given!r}; expected sdrt.Control", "controls")
    name = f"the control {control.controlnet}"
    if control.preprocessor is not None:
        validation.known("preprocessor", control.preprocessor, PREPROCESSORS)
    start = validation.number(f"start of {name}", control.start, 1)
    end = validation.number(f"end of {name}", control.end, 1)
    if start >= end:
        raise UsageError(
            f"{name} starts at {start:g} and ends at {end:g}; expected the start before the end"
        )
    image, _ = open_picture("hint", control.image, "RGB")
    return ControlRequest(
        controlnet=str(control.controlnet),
        image=image,
        preprocessor=control.preprocessor,
        weight=validation.number(f"weight of {name}", control.weight, MAX_WEIGHT),
        start=start,
        end=end,
    )
