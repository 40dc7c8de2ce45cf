"""How cases describe arrays, pictures, results and errors."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import sdrt

Record = dict[str, Any]

PROMPT = "a red boat on the sea at sunset"
SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 4, "seed": 11}
"""Options of a quick picture."""


def digest(array: npt.ArrayLike) -> Record:
    """Type, shape and SHA-256 of an array."""
    values = np.ascontiguousarray(array)
    content = hashlib.sha256(values.tobytes()).hexdigest()
    return {"dtype": str(values.dtype), "shape": list(np.shape(array)), "sha256": content}


def picture(image: Image.Image) -> Record:
    """Size and SHA-256 of a picture."""
    content = hashlib.sha256(image.tobytes()).hexdigest()
    return {"mode": image.mode, "size": list(image.size), "sha256": content}


def result_of(result: sdrt.Result, name: str) -> Record:
    """Save a result's pictures, which hold their parameters; gives what is not in them."""
    paths = result.save(f"{name}.png")
    return {
        "files": [path.name for path in paths],
        "seeds": result.seeds,
        "warnings": result.warnings,
    }


def refusal(call: Callable[[], object]) -> Record:
    """The error that a call raises."""
    try:
        call()
    except sdrt.SdrtError as error:
        kind, code = type(error).__name__, error.exit_code
        return {"type": kind, "exit_code": code, "message": str(error)}
    except Exception as error:  # a defect is recorded too: it is to stay the same
        return {"type": type(error).__name__, "message": str(error)}
    return {"type": None}
