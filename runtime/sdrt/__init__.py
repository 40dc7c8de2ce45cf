"""Stable Diffusion on CPUs, without torch.

    import sdrt

    pipe = sdrt.load()
    pipe("a red boat on the sea at sunset", seed=7).save("boat.png")

Importing this package loads neither an engine nor numpy; that happens at the first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sdrt.version import __version__

if TYPE_CHECKING:
    from sdrt.errors import SdrtError as SdrtError
    from sdrt.generation.result import Result as Result
    from sdrt.generation.result import Step as Step
    from sdrt.generation.run import Run as Run
    from sdrt.pipeline import Pipeline as Pipeline
    from sdrt.pipeline import load as load
    from sdrt.request.options import Control as Control

_HOMES = {
    "Control": "sdrt.request.options",
    "Pipeline": "sdrt.pipeline",
    "Result": "sdrt.generation.result",
    "Run": "sdrt.generation.run",
    "SdrtError": "sdrt.errors",
    "Step": "sdrt.generation.result",
    "load": "sdrt.pipeline",
}

__all__ = ["Control", "Pipeline", "Result", "Run", "SdrtError", "Step", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sdrt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
