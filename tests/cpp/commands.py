"""Commands of the C++ test program and of `sdrt-host`."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from sdrt.arrays import Array
from sdrt.sampling.sampler_settings import SamplerSettings

Command = Mapping[str, Any]
Ask = Callable[..., list[Any]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def array_json(array: Array) -> dict[str, Any]:
    """An array as commands hold it."""
    return {"shape": list(array.shape), "values": array.ravel().tolist()}


def sampler_settings_of(command: Command) -> SamplerSettings:
    """The settings that a command names."""
    names = ("sampler", "scheduler", "spacing", "offset", "options")
    return SamplerSettings(**{name: command[name] for name in names if name in command})
