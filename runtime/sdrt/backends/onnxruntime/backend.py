"""ONNX Runtime's CPU provider."""

import shutil
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import onnxruntime as ort

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed, Kernel, executed, executed_only
from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.backends.input_casts import cast_feeds
from sdrt.backends.onnxruntime.feature_cut import tensors_of, with_cut
from sdrt.backends.onnxruntime.onnx_file import Reader, opened
from sdrt.backends.onnxruntime.profile import read_profile
from sdrt.backends.onnxruntime.residuals import with_residuals
from sdrt.backends.onnxruntime.tile_context import context_names, with_context
from sdrt.backends.onnxruntime.weights import layer_weights, resized
from sdrt.backends.weight_patches import patch_of, patched, with_joined_halves
from sdrt.cores import default_threads
from sdrt.errors import ArtifactError, CancelledError, OutOfMemoryError, SdrtError
from sdrt.manifest import Format, Precision

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


@dataclass(frozen=True)
class OrtBackend:
    """Runs `model.onnx`; one session serves all shapes."""

    threads: int = field(default_factory=default_threads)
    precision: Precision | None = None
    in_order: bool = False
    """Run nodes in the order of the graph, and not in that in which its outputs need them.

    Graphs with many small outputs would otherwise keep every tensor until the end.
    """

    name: ClassVar = "onnxruntime"
    formats: ClassVar[tuple[Format, ...]] = ("onnx",)
    devices: ClassVar[tuple[str, ...]] = ("CPU",)

    def in_fp32(self, network: Network) -> None:
        """Return None: floats always run in fp32."""

    def layers(self, network: Network) -> Shapes:
        """Layers whose weights can be patched, read from the file's header."""
        weights = layer_weights(network.files[0])
        return with_joined_halves({name: weight.layer_shape for name, weight in weights.items()})

    def context(self, network: Network) -> tuple[str, ...]:
        """Names of the tensors of its context."""
        return context_names(network.files[0])

    def open(self, network: Network) -> "OrtGraph":
        """Load a network into a session of its own."""
        return OrtGraph(network, self.threads, self.in_order)


class OrtGraph(Graph):
    """One inference session.

    Float networks run in fp32, however they are stored: the provider has no bf16 kernels. Which
    layers of an int8 network became integer kernels is read from a profile of its first run.
    """

    def __init__(self, network: Network, threads: int, in_order: bool = False) -> None:
        super().__init__(network)
        self._threads = threads
        self._profile = None if network.stored != "int8" else _Profile(network)
        self._executed = None if self._profile else executed_only("fp32")
        options = _options(threads, self._profile)
        if in_order or network.context_outputs:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        # Its integer kernels for AMX rely on the thread's tile configuration, which may be another
        # library's: the process then dies of an illegal instruction. So it has its own thread.
        self._thread = ThreadPoolExecutor(1)
        self._file = _PatchedFile(network)
        self._session = self._file.session(options)

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        outputs = self._run(self._session, feeds, cancellation)
        if self._profile:
            kernels = self._profile.end(self._session)
            # The times of a first run are not representative.
            self._executed = executed(replace(kernel, seconds=0.0) for kernel in kernels)
            self._profile = None
        return outputs

    def _run(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], cancellation: Cancellation
    ) -> dict[str, Array]:
        options = ort.RunOptions()
        names = self.network.outputs
        try:
            with cancellation.interrupts(partial(setattr, options, "terminate", True)):
                outputs = self._wait(session, names, dict(feeds), options)
        except Exception as error:  # its exceptions have no base class of their own
            raise _translated(error, self.name) from error
        return dict(zip(names, outputs, strict=True))

    def _wait(
        self, session: ort.InferenceSession, names: list[str], feeds: dict[str, Array], options: Any
    ) -> Any:
        running = self._thread.submit(session.run, names, feeds, options)
        try:
            return running.result()
        except KeyboardInterrupt as interrupt:
            options.terminate = True  # nothing keeps running in the background
            raise interrupt from running.exception()

    def executed(self) -> Executed:
        """What the provider executes; raises `ValueError` where only a run can show it."""
        if self._executed is None:
            raise ValueError(f"{self.name} has not run yet")
        return self._executed

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run in a second session that measures the time of each kernel."""
        profile = _Profile(self.network)
        session = self._file.session(_options(self._threads, profile))
        feeds = cast_feeds(feeds, self.network.input_casts)
        for _ in range(2):  # the second one counts
            self._run(session, feeds, Cancellation())
        return executed(profile.end(session))


class _Profile:
    """The temporary file that a session writes its kernels and their times to."""

    def __init__(self, network: Network) -> None:
        self._model = network.files[0]
        self._folder = Path(mkdtemp(prefix="sdrt-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def prefix(self) -> str:
        """The beginning of the file's name."""
        return str(self._folder / "profile")

    def end(self, session: ort.InferenceSession) -> list[Kernel]:
        """Stop profiling, and return the kernels of the last run."""
        try:
            return read_profile(Path(session.end_profiling()), self._model)
        finally:
            self._remove()


def _options(threads: int, profile: _Profile | None = None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The arena never gives memory back; without it a step is as fast.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile.prefix
    return options


class _PatchedFile:
    """A network's file with its patches: changed content, and weights in place of the stored."""

    def __init__(self, network: Network) -> None:
        self.path = network.files[0]
        has_context = network.context_outputs or network.context_inputs
        self._content = with_context(network) if has_context else _in_form(network)
        self._weights: dict[str, ort.OrtValue] = {}  # sessions do not own them
        stored = layer_weights(self.path) if network.weight_patches else {}
        present = tensors_of(network) if stored and network.is_shallow else None
        for layer, weight in stored.items():
            patch = patch_of(network.weight_patches, layer)
            if patch is None or (present is not None and weight.name not in present):
                continue
            array = patched(layer, weight.read(), patch, weight.is_transposed)
            value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, weight.kind)
            self._weights[weight.name] = value
            if array.shape != weight.shape:
                self._content = resized(self.path, weight, array.shape)

    def session(self, options: ort.SessionOptions) -> ort.InferenceSession:
        """Open a session; the engine's errors are raised as sdrt's."""
        try:
            if self._weights:
                options.add_external_initializers(list(self._weights), list(self._weights.values()))
            if self._content:
                options.add_session_config_entry(WEIGHTS_FOLDER, str(self.path.parent))
            content = self._content or self.path
            return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _translated(error, str(self.path)) from error


def _in_form(network: Network) -> bytes | None:
    """The file's content with residuals as inputs, and cut; None where it is opened as it is."""
    if not (network.residuals or network.cut):
        return None
    with opened(network.files[0]) as reader:
        content = with_residuals(network, reader) if network.residuals else None
        if network.cut:
            content = with_cut(network, Reader(content) if content else reader)
        return content


def _translated(error: Exception, what: str) -> SdrtError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "terminate flag" in text:
        return CancelledError(f"{what} was cancelled")
    if isinstance(error, MemoryError) or "Failed to allocate" in text or "bad_alloc" in text:
        return OutOfMemoryError(f"onnxruntime could not allocate memory for {what}: {text}")
    return ArtifactError(f"onnxruntime cannot run {what}: {text}")
