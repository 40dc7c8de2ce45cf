"""Validation of single values: each function returns the value or raises `UsageError`."""

import math
from collections.abc import Collection
from difflib import get_close_matches

from sdrt.errors import UsageError

MIN_LATENT = 8  # 8x8 latents are a single position at the U-Net's lowest level
MAX_SIZE = 4096


def known(what: str, name: str, names: Collection[str]) -> str:
    """The name, if it is known; the error suggests the most similar known name."""
    if name in names:
        return name
    raise UsageError(f"unknown {what} {name!r}; known: {', '.join(names)}{hint(name, names)}", what)


def hint(name: object, names: Collection[str]) -> str:
    """The end of a message: the known name most similar to an unknown one; empty without any."""
    similar = get_close_matches(str(name).lower(), names, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number in a range."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:  # type: ignore[operator]
        raise UsageError(f"{name} is {value!r}; expected a whole number from {low} to {high}", name)
    return int(value)  # type: ignore[call-overload, no-any-return]


def size(name: str, value: object, downscale: int) -> int:
    """A side of a picture in pixels, a multiple of the latents' scale."""
    low = MIN_LATENT * downscale
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not low <= value <= MAX_SIZE or value % downscale:  # type: ignore[operator]
        raise UsageError(
            f"{name} is {value!r}; expected a multiple of {downscale} from {low} to {MAX_SIZE}",
            name,
        )
    return int(value)  # type: ignore[call-overload, no-any-return]


def number(name: str, value: object, high: float, low: int = 0) -> float:
    """A finite number in a range; an infinite `high` means no upper limit."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        upper = "up" if math.isinf(high) else f"to {high}"
        raise UsageError(f"{name} is {value!r}; expected a finite number from {low} {upper}", name)
    return float(value)  # type: ignore[arg-type]


def flag(name: str, value: object) -> bool:
    """True or False, and no other value that Python takes for one."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; expected True or False", name)
    return value
