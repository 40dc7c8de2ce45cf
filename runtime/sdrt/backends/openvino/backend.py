"""OpenVINO: a static graph for each requested shape, in an explicit precision."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import openvino as ov

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed, executed
from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.backends.input_casts import cast_feeds, cast_shapes
from sdrt.backends.openvino.bf16_selftest import (
    FLOOR_DB,
    RunLayer,
    Setup,
    Verdict,
    examine,
    recall,
    run_layer,
)
from sdrt.backends.openvino.feature_cut import apply_cut
from sdrt.backends.openvino.fp32_layers import Fp32Prefix, Fp32Suffix, cut_prefix, cut_suffix
from sdrt.backends.openvino.kernels import layer_macs, read_kernels
from sdrt.backends.openvino.mapped_weights import dropping_pages
from sdrt.backends.openvino.residuals import add_residuals
from sdrt.backends.openvino.tile_context import apply_context, context_names
from sdrt.backends.openvino.weight_patches import apply_patches, layer_shapes
from sdrt.cores import default_threads
from sdrt.errors import ArtifactError, CancelledError, OutOfMemoryError, SdrtError, UnsupportedError
from sdrt.machine import give_back_freed_blocks
from sdrt.manifest import Format, Precision, Storage

PRECISION_HINT = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True)
class OpenVinoBackend:
    """Runs `openvino_model.xml`, or `model.onnx` where there is no IR.

    `precision` is what the caller asks for; None means what the artifact stores, as far as the
    device supports it. Raises `UnsupportedError` for a device that is missing, or does not support
    that precision.
    """

    device: str = "CPU"
    threads: int = field(default_factory=default_threads)
    precision: Precision | None = None
    max_shapes: int = 2
    """How many compiled forms are kept per network: with and without guidance, or two sizes."""
    run_layer: RunLayer = run_layer
    """Runs the layers of the self-test."""

    name: ClassVar = "openvino"
    formats: ClassVar[tuple[Format, ...]] = ("openvino", "onnx")

    def __post_init__(self) -> None:
        if self.device.split(".")[0] not in {name.split(".")[0] for name in self.devices}:
            found = ", ".join(self.devices)
            raise UnsupportedError(f"OpenVINO finds no device {self.device!r}; it finds: {found}")
        if self.precision == "bf16" and not self.has_bf16:
            raise UnsupportedError(
                f"{self.device} has no bf16 arithmetic (AVX512-BF16 or AMX); use --precision fp32"
            )

    @cached_property
    def core(self) -> ov.Core:
        """The engine."""
        return ov.Core()

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Devices that OpenVINO finds on this machine."""
        return tuple(self.core.available_devices)

    @cached_property
    def has_bf16(self) -> bool:
        """Whether the device has bf16 arithmetic."""
        return "BF16" in self.core.get_property(self.device, "OPTIMIZATION_CAPABILITIES")

    @cached_property
    def setup(self) -> Setup:
        """The machine and versions that the verdict on bf16 depends on."""
        return Setup(self.device, ov.get_version())

    @cached_property
    def verdict(self) -> Verdict:
        """Whether bf16 can be trusted: tested before its first use, then remembered."""
        return recall(self.setup, self.examine)

    def examine(self) -> Verdict:
        """Test now whether bf16 can be trusted."""
        return examine(self.core, self.device, self._engine_settings, self.run_layer)

    def settings(self, stored: Storage) -> dict[str, str | int]:
        """Compile settings for a network stored in a precision."""
        # Integer kernels come from the graph itself; what remains in float is fastest in bf16.
        precision = "bf16" if self._wants_bf16(stored) and self.verdict.is_right else "fp32"
        # Never left to OpenVINO, which takes bf16 for fp32 networks wherever it can.
        return {**self._engine_settings, "INFERENCE_PRECISION_HINT": PRECISION_HINT[precision]}

    def warnings(self, stored: Storage) -> tuple[str, ...]:
        """Why a network stored in a precision is not executed in bf16, although it could be."""
        if not self._wants_bf16(stored) or self.verdict.is_right:
            return ()
        wrong = ", ".join(f"{name}: {db:.1f} dB" for name, db in self.verdict.wrong.items())
        return (
            f"OpenVINO {ov.get_version()} computes wrong in bf16 on this processor ({wrong}; "
            f"expected at least {FLOOR_DB:.0f} dB), so networks run in fp32; see: sdrt doctor",
        )

    def _wants_bf16(self, stored: Storage) -> bool:
        return (self.precision or stored) != "fp32" and self.has_bf16

    @property
    def _engine_settings(self) -> dict[str, str | int]:
        settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if self.device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
            # Otherwise the input of a layer whose weights alone are integers is rounded too.
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        return settings

    def in_fp32(self, network: Network) -> "OpenVinoBackend | None":
        """The same with fp32 for all floats, or None if that is so; integer kernels stay."""
        hint = self.settings(network.stored)["INFERENCE_PRECISION_HINT"]
        return None if hint == PRECISION_HINT["fp32"] else replace(self, precision="fp32")

    def layers(self, network: Network) -> Shapes:
        """Layers whose weights can be patched."""
        return layer_shapes(network.files[0], read_model(self.core, network.files[0]))

    def context(self, network: Network) -> tuple[str, ...]:
        """Names of the tensors of its context."""
        return context_names(read_model(self.core, network.files[0]))

    def open(self, network: Network) -> "OpenVinoGraph":
        """Read a network; it is compiled once its input shapes are known."""
        return OpenVinoGraph(network, self)


@dataclass
class _Compiled:
    """A network for one set of shapes; in bf16 with its first and last layers in fp32."""

    request: ov.InferRequest
    prefix: Fp32Prefix | None
    suffix: Fp32Suffix | None
    layers: dict[str, int]
    """Multiply-adds of the layers that may be fused into other kernels, by name."""
    has_run: bool = False

    @cached_property
    def executed(self) -> Executed:
        """The kernels that it was compiled to, with times if profiling is on."""
        return executed(read_kernels(self.request.get_compiled_model(), self.layers))

    def infer(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> None:
        """Run once; the results stay in the engine's memory until the next run."""
        inputs = self.prefix.complete(feeds) if self.prefix else dict(feeds)
        self.request.start_async(inputs, share_inputs=True)
        # Only now, because a request that has not started cannot be cancelled.
        with cancellation.interrupts(self.request.cancel):
            self.request.wait()
        if self.suffix:
            self.suffix.infer(self.request)
        if not self.has_run:
            self.has_run = True
            give_back_freed_blocks()  # the first run converts weights to their kernels' layouts

    def output(self, name: str) -> Array:
        """A copy of the last run's output of this name."""
        if self.suffix and name in self.suffix.names:
            return self.suffix.output()
        array: Array = self.request.get_tensor(name).data.copy()
        return array


class OpenVinoGraph(Graph):
    """One network, compiled anew for each set of input shapes; a few are kept."""

    def __init__(self, network: Network, backend: OpenVinoBackend) -> None:
        super().__init__(network)
        self._backend = backend
        self.warnings = backend.warnings(network.stored)
        self._compiled: OrderedDict[tuple[object, ...], _Compiled] = OrderedDict()
        self.compilations = 0
        self._read()  # so that an unreadable file is reported now and not at the first step

    def prepare(self, shapes: Shapes) -> None:
        """Compile for these input shapes, unless that was done before."""
        self._find(cast_shapes(shapes, self.network.input_casts))

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        compiled = self._find(self.network.shapes_of(feeds))
        self._infer(compiled, feeds, cancellation)
        return {name: compiled.output(name) for name in self.network.outputs}

    def executed(self) -> Executed:
        """Read kernels and their precisions from the form that was compiled or used last."""
        if not self._compiled:
            raise ValueError(f"{self.name} has not run yet")
        return next(reversed(self._compiled.values())).executed

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Compile once more with profiling on, and run that."""
        feeds = cast_feeds(feeds, self.network.input_casts)
        compiled = self._compile(self.network.shapes_of(feeds), {"PERF_COUNT": True})
        self._infer(compiled, feeds, Cancellation())
        return compiled.executed

    def _infer(
        self, compiled: "_Compiled", feeds: Mapping[str, Array], cancellation: Cancellation
    ) -> None:
        try:
            compiled.infer(feeds, cancellation)
        except RuntimeError as error:
            raise _translated(error, self.name) from error

    def _find(self, shapes: Shapes) -> "_Compiled":
        key = tuple(sorted(shapes.items()))
        if key in self._compiled:
            self._compiled.move_to_end(key)
            return self._compiled[key]
        # The source of a context runs once in each shape, and exists to save memory.
        most = 1 if self.network.context_outputs else self._backend.max_shapes
        while len(self._compiled) >= most:
            self._compiled.popitem(last=False)
        self._compiled[key] = self._compile(shapes)
        return self._compiled[key]

    def _compile(self, shapes: Shapes, more: Mapping[str, bool] | None = None) -> "_Compiled":
        self.compilations += 1
        core = self._backend.core
        settings = {**self._backend.settings(self.network.stored), **(more or {})}
        try:
            with dropping_pages(self.network.files[1:]):
                model = self._read()
                apply_patches(model, self.network.weight_patches)
                apply_context(model, self.network)
                model.reshape(
                    {name: ov.PartialShape(list(shape)) for name, shape in shapes.items()}
                )
                if self.network.residuals:
                    add_residuals(model, self.network)
                if self.network.cut:
                    apply_cut(model, self.network)
                is_bf16 = settings["INFERENCE_PRECISION_HINT"] == PRECISION_HINT["bf16"]
                prefix = cut_prefix(core, model) if is_bf16 else None
                suffix = cut_suffix(core, model) if is_bf16 else None
                layers = layer_macs(model)
                compiled = core.compile_model(model, self._backend.device, settings)
                del model
            give_back_freed_blocks()
            return _Compiled(compiled.create_infer_request(), prefix, suffix, layers)
        except RuntimeError as error:
            raise _translated(error, self.name) from error

    def _read(self) -> ov.Model:
        return read_model(self._backend.core, self.network.files[0])


def read_model(core: ov.Core, path: Path) -> ov.Model:
    """Read a network's file; its weights are mapped and not loaded."""
    try:
        return core.read_model(path)
    except RuntimeError as error:
        raise _translated(error, str(path)) from error


def _translated(error: RuntimeError, what: str) -> SdrtError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[-1].strip() if lines else type(error).__name__
    if "cancel" in str(error).lower():
        return CancelledError(f"{what} was cancelled")
    if "bad_alloc" in str(error) or "allocate" in str(error):
        return OutOfMemoryError(f"OpenVINO could not allocate memory for {what}: {text}")
    return ArtifactError(f"OpenVINO cannot run {what}: {text}")
