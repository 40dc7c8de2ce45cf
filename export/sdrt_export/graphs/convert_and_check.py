"""A network's ONNX file -> its entry in the manifest: convert it, and check both engines."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt.backends import Backend, Network
from sdrt.backends.onnxruntime.backend import OrtBackend
from sdrt.backends.openvino.backend import OpenVinoBackend
from sdrt.machine import give_back_memory
from sdrt.manifest import Format, GraphSpec, Precision, TensorSpec
from sdrt_export.graphs.parity import ReferenceCase, parity_db
from sdrt_export.graphs.to_openvino import write_openvino

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenNetwork:
    """A network as ONNX on disk, and its reference results."""

    name: str
    """The network's name in the artifact."""
    precision: Precision
    """The precision of the weights in the file."""
    files: list[Path]
    """`model.onnx`, then its weights."""
    inputs: tuple[TensorSpec, ...]
    """The inputs as the manifest states them."""
    outputs: tuple[TensorSpec, ...]
    """The outputs as the manifest states them."""
    cases: list[ReferenceCase]
    """Inputs with the outputs that are expected of both engines."""


def convert_and_check(
    written: WrittenNetwork,
    root: Path,
    formats: Sequence[Format],
    after_conversion: Callable[[Path], None] | None = None,
    is_final: bool = True,
) -> GraphSpec:
    """Convert to the other format and measure both engines; `root` is the artifact's folder.

    `after_conversion` may change the ONNX graph once the IR is made from it. An intermediate
    artifact (`is_final` false) is measured on one engine only.
    """
    name, started = written.name, time.perf_counter()
    files: dict[Format, list[Path]] = {"onnx": written.files}
    if "openvino" in formats:
        files["openvino"] = write_openvino(written.files)
    if after_conversion:
        after_conversion(written.files[0])
    spec = GraphSpec(files=_relative(files, root), inputs=written.inputs, outputs=written.outputs)
    figures = {}
    for backend in _backends(written.precision)[: None if is_final else 1]:
        opened = next(f for f in backend.formats if f in files)
        network = Network(name, spec, tuple(files[opened]), written.precision)
        figures[backend.name] = parity_db(network, backend, written.cases)
        give_back_memory()
    shown = ", ".join(f"{backend} {db:.1f} dB" for backend, db in figures.items())
    logger.info(
        "%s, %s: verified in %.0f s: %s",
        name,
        written.precision,
        time.perf_counter() - started,
        shown,
    )
    if "onnx" not in formats:
        for path in files.pop("onnx"):
            path.unlink()
    # JSON has no infinity.
    rounded = {backend: min(round(db, 1), 999.0) for backend, db in figures.items()}
    return spec.model_copy(update={"files": _relative(files, root), "parity_db": rounded})


def _backends(precision: Precision) -> tuple[Backend, ...]:
    """Both engines, for float graphs in fp32: parity is about the graph and its stored weights.

    An int8 graph has its rounding inside; around it the engine computes as it will for users.
    """
    executed: Precision | None = None if precision == "int8" else "fp32"
    return OrtBackend(), OpenVinoBackend(precision=executed, max_shapes=1)


def _relative(files: dict[Format, list[Path]], root: Path) -> dict[Format, tuple[str, ...]]:
    return {
        format: tuple(path.relative_to(root).as_posix() for path in paths)
        for format, paths in files.items()
    }
