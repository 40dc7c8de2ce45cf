"""What an engine is to the rest of sdrt, and the choice of one."""

from importlib.util import find_spec
from typing import Protocol

from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.cores import default_threads
from sdrt.errors import MissingExtraError, UnsupportedError, UsageError
from sdrt.machine import has_int8
from sdrt.manifest import PRECISIONS, Format, Precision
from sdrt.validation import known

BACKENDS = ("openvino", "onnxruntime")  # fastest first


class Backend(Protocol):
    """An engine with its settings."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats it opens, best first."""
        ...

    @property
    def threads(self) -> int:
        """Threads that one run uses."""
        ...

    @property
    def precision(self) -> Precision | None:
        """The precision that the caller asked for; None leaves it to artifact and engine."""
        ...

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that the engine finds on this machine."""
        ...

    def in_fp32(self, network: Network) -> "Backend | None":
        """The same engine in fp32; None where it runs the network's floats in fp32 already."""
        ...

    def layers(self, network: Network) -> Shapes:
        """Layers whose weights can be patched, by name, with shapes as in `WeightPatches`.

        Loads no weights. Raises `ArtifactError` for a graph that does not name its layers.
        """
        ...

    def context(self, network: Network) -> tuple[str, ...]:
        """Names of the tensors of its context (`sdrt.backends.tile_context`); loads no weights."""
        ...

    def open(self, network: Network) -> Graph:
        """Load one network; raises `ArtifactError` when the engine refuses the file."""
        ...


def open_backend(
    name: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
) -> Backend:
    """Choose an engine: the fastest one installed, unless `name` says which.

    `device` is the engine's name of it ("CPU", "GPU"); `threads` defaults to the cores that this
    process may use. `precision` is what the engine is to execute, not what is stored.
    """
    if name is not None:
        known("backend", name, BACKENDS)
    if precision is not None:
        known("precision", precision, PRECISIONS)
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; expected at least 1")
    if precision == "int8" and device in (None, "CPU") and not has_int8():
        raise UnsupportedError(
            "this processor has no integer arithmetic for networks (AVX512-VNNI, AVX-VNNI or "
            "AMX-INT8); use a model in fp32 or bf16"
        )
    chosen = name or next(iter(usable_backends()), None)
    if chosen is None or not is_installed(chosen):
        raise MissingExtraError(
            chosen or "a backend", "openvino" if chosen == "openvino" else "all"
        )
    if chosen == "openvino":
        from sdrt.backends.openvino.backend import OpenVinoBackend

        return OpenVinoBackend(device or "CPU", threads or default_threads(), precision)
    if device not in (None, "CPU"):
        raise UnsupportedError(f"onnxruntime runs on CPU here, not on {device!r}; use openvino")
    from sdrt.backends.onnxruntime.backend import OrtBackend

    return OrtBackend(threads or default_threads(), precision)


def usable_backends() -> list[str]:
    """Names of the installed engines, fastest first."""
    return [name for name in BACKENDS if is_installed(name)]


def is_installed(backend: str) -> bool:
    """Whether the engine's package can be found; does not import it."""
    return find_spec(backend) is not None
