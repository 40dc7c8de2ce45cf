"""ONNX Runtime's CPU provider."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import onnxruntime as ort

from sdrt.backends import Array, Executed, Graph, Network
from sdrt.errors import ArtifactError, CancelledError, OutOfMemoryError, SdrtError
from sdrt.machine import usable_cores
from sdrt.manifest import Format, Precision
from sdrt.stop import Stop

HEAVY = ("Conv", "MatMul", "Gemm", "Attention", "QLinear", "QGemm", "QAttention")


@dataclass(frozen=True)
class OrtBackend:
    """Runs `model.onnx`; one session serves all shapes."""

    threads: int = field(default_factory=usable_cores)
    precision: Precision | None = None
    in_order: bool = False
    """Run nodes in the order of the graph and not of what its outputs need: for graphs whose many
    outputs each need little, which would keep every tensor until the end."""

    name: ClassVar = "onnxruntime"
    formats: ClassVar[tuple[Format, ...]] = ("onnx",)
    devices: ClassVar[tuple[str, ...]] = ("CPU",)

    def open(self, network: Network) -> "OrtGraph":
        """Load a network into a session of its own."""
        return OrtGraph(network, self.threads, self.in_order)


class OrtGraph(Graph):
    """One inference session."""

    def __init__(self, network: Network, threads: int, in_order: bool = False) -> None:
        super().__init__(network)
        self._threads = threads
        options = _options(threads)
        if in_order:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        self._session = _open_session(network.files[0], options)
        self._last_feeds: dict[str, Array] = {}

    def _execute(self, feeds: Mapping[str, Array], stop: Stop) -> dict[str, Array]:
        self._last_feeds = {name: np.zeros_like(array) for name, array in feeds.items()}
        options = ort.RunOptions()
        names = [spec.name for spec in self.network.spec.outputs]
        try:
            with stop.interrupts(partial(setattr, options, "terminate", True)):
                outputs = self._session.run(names, dict(feeds), options)
        except Exception as error:  # its exceptions have no base class of their own
            raise _translated(error, self.name) from error
        return dict(zip(names, outputs, strict=True))

    @property
    def precision(self) -> str:
        """Float networks run in fp32, however they are stored: the provider has no bf16 kernels."""
        return "fp32"

    def executed(self) -> Executed:
        """Profile one run in a second session: only its kernels know the types they worked on."""
        if not self._last_feeds:
            raise ValueError(f"{self.name} has not run yet")
        with TemporaryDirectory() as folder:
            options = _options(self._threads)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = _open_session(self.network.files[0], options)
            session.run(None, self._last_feeds)
            events = json.loads(Path(session.end_profiling()).read_text())
        return _read_profile(events)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The arena never gives memory back; without it a step is as fast.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return options


def _open_session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _translated(error, str(path)) from error


def _translated(error: Exception, what: str) -> SdrtError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "terminate flag" in text:
        return CancelledError(f"{what} was cancelled")
    if isinstance(error, MemoryError) or "Failed to allocate" in text or "bad_alloc" in text:
        return OutOfMemoryError(f"onnxruntime could not allocate memory for {what}: {text}")
    return ArtifactError(f"onnxruntime cannot run {what}: {text}")


def _read_profile(events: list[dict[str, object]]) -> Executed:
    kernels: Counter[str] = Counter()
    heavy: Counter[str] = Counter()
    for event in events:
        details = event.get("args")
        if event.get("cat") != "Node" or not isinstance(details, dict):
            continue
        if not str(event["name"]).endswith("_kernel_time"):
            continue
        types = [next(iter(entry)) for entry in details.get("input_type_shape", []) if entry]
        precision = _precision(types)
        kernels[f"{details['op_name']} {precision}"] += 1
        if any(part in str(details["op_name"]) for part in HEAVY):
            heavy[precision] += 1
    return Executed(heavy.most_common(1)[0][0] if heavy else "unknown", kernels)


def _precision(types: list[str]) -> str:
    """Precision of a kernel from the types of its inputs."""
    names = {"int8": "int8", "uint8": "int8", "bfloat16": "bf16", "float16": "fp16"}
    for found, precision in names.items():
        if found in types:
            return precision
    return "fp32" if "float" in types else "integer"
