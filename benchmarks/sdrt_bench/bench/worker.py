"""One round of a cell on sdrt, in its own process: `python -m sdrt_bench.bench.worker`.

It reads a `RoundSpec` from standard input. The image is really made: text encoder, the sampler's
loop, decoder. Where only the first steps are to be run, the decoder gets the latents after them, so
that its time and memory are measured all the same.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from sdrt import machine
from sdrt.arrays import Latents
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, open_backend
from sdrt.backends.executed import Executed
from sdrt.errors import SdrtError
from sdrt.files.atomic import whole_file
from sdrt.generation.run import Run
from sdrt.networks.run_state import Timings
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt_bench.bench.process_stats import LoadMonitor, PeakMemory, resident_bytes
from sdrt_bench.bench.record import Params, Precision, Round
from sdrt_bench.bench.round_protocol import RoundFailure, RoundResult, RoundSpec
from sdrt_bench.bench.timed_backend import TimedBackend
from sdrt_bench.precision_check import check_precision
from sdrt_bench.similarity import Pixels

ENGINE_PACKAGES = ("onnxruntime", "openvino", "numpy")
EVIDENCE = {"openvino": "runtime model", "onnxruntime": "profile"}
ONLY_ONE = "the engine has no other arithmetic"
# Kernels of convolutions and linear layers by their engines' names; what remains is attention.
# OpenVINO calls a product with weights FullyConnected, and only one of two tensors MatMul.
LAYER_KINDS = {"openvino": ("Convolution", "FullyConnected")}
OTHER_LAYER_KINDS = ("Conv", "MatMul", "Gemm", "FullyConnected")

OpenBackend = Callable[[Params], Backend]


def main() -> None:
    """Run the round that standard input specifies, and write its result or failure."""
    spec = RoundSpec.model_validate_json(sys.stdin.read())
    outcome = attempt(lambda: measure(spec, open_engine))
    with whole_file(spec.result) as target:
        target.write_text(outcome.model_dump_json(), encoding="utf-8")


def attempt(run: Callable[[], RoundResult]) -> RoundResult | RoundFailure:
    """Give the result, or why there is none; unforeseen errors go through."""
    try:
        return run()
    except SdrtError as error:
        return RoundFailure(error=str(error), kind=type(error).__name__)


def open_engine(params: Params) -> Backend:
    """Open the engine that a cell names."""
    return open_backend(
        params.backend,
        threads=params.threads,
        precision=params.precision,  # type: ignore[arg-type]  # open_backend checks it
    )


def options_of(params: Params) -> Options:
    """Give a cell's parameters under the names of the Python interface."""
    return {
        "width": params.width,
        "height": params.height,
        "num_images_per_prompt": params.batch,
        "guidance_scale": params.guidance_scale if params.guidance else 1.0,
        "num_inference_steps": params.steps,
        "sampler": params.sampler,
        "seed": params.seed,
    }


def measure(spec: RoundSpec, open_engine: OpenBackend) -> RoundResult:
    """Make the image once; raises `UnsupportedError` where another precision was executed."""
    params, started = spec.params, time.perf_counter()
    artifact = open_artifact(spec.options["artifact"])
    backend = TimedBackend(open_engine(params))
    is_checked = not spec.options.get("ignore_memory", False)
    pipe = Pipeline(artifact, backend, retry_precision=False, check_memory=is_checked)
    run = pipe.start(params.prompt, **options_of(params))
    begun, monitor = time.perf_counter(), LoadMonitor()
    samples = _watch_steps(run, spec.measure, started)
    is_whole = spec.measure >= params.steps
    image = run.result().images[0] if is_whole else run.decode(samples.last)[0]
    seconds = time.perf_counter() - begun - samples.sampling_s
    load = monitor.system_load()
    samples.memory.sample()
    precision = _precision(artifact, params, backend)
    check_precision(spec.name, artifact, backend, "executed", precision.executed)
    return RoundResult(
        round=_round(run.state.timings, params.steps, seconds, backend).model_copy(
            update={
                "first_step_end_s": samples.first_step_end_s,
                "peak_rss": machine.peak_memory_bytes() or None,
                "steady_rss": samples.steady_rss,
                "peak_pss": samples.memory.peak,
                "system_load": load,
            }
        ),
        precision=precision,
        artifact_bytes=_used_bytes(artifact, backend),
        versions=versions(),
        latents=_write_latents(spec.folder, samples.latents),
        picture=_write_picture(spec.folder, np.asarray(image)),
        warnings=tuple(dict.fromkeys(run.state.warnings)),
    )


@dataclass
class _Samples:
    """Samples that were taken between the steps of a run."""

    memory: PeakMemory = field(default_factory=PeakMemory)
    latents: list[Latents] = field(default_factory=list)
    """They are the first image's, after each step."""
    last: Latents = field(default_factory=lambda: np.empty(0, np.float32))
    """These latents after the last step that was run are clean, and can be decoded."""
    first_step_end_s: float | None = None
    steady_rss: int | None = None
    sampling_s: float = 0.0
    """Taking the samples took so long, which no measured time contains."""


def _watch_steps(run: Run, most: int, started: float) -> _Samples:
    """Run at most `most` steps; `started` is when the process began to open the model."""
    samples = _Samples()
    for step in run:
        looked = time.perf_counter()
        if samples.first_step_end_s is None:
            samples.first_step_end_s = looked - started
        samples.latents.append(step.latents[0])
        samples.last = step.denoised if step.index + 1 < step.count else step.latents
        samples.memory.sample()
        is_last = step.index + 1 == min(most, step.count)
        if is_last:
            samples.steady_rss = resident_bytes()
        samples.sampling_s += time.perf_counter() - looked
        if is_last and most < step.count:
            break
    return samples


def _round(timings: Timings, count: int, seconds: float, backend: TimedBackend) -> Round:
    """Give the times of a round with `count` steps, and `seconds` from prompt to pixels."""
    steps = timings.step_s
    missing = (count - len(steps)) * statistics.median(steps[1:] or steps)
    return Round(
        load_s=dict(timings.load_s),
        text_encoder_s=timings.text_encoder_s,
        step_s=tuple(steps),
        sampler_s=max(0.0, sum(steps) - backend.times.seconds.get("unet", 0.0)),
        vae_decoder_s=timings.vae_decoder_s,
        image_s=seconds - sum(timings.load_s.values()) + missing,
        steps_run=len(steps),
    )


def versions() -> dict[str, str]:
    """Give the versions of sdrt, numpy and the engines."""
    import sdrt

    versions_by_package = {"sdrt": sdrt.__version__}
    for name in ENGINE_PACKAGES:
        try:
            versions_by_package[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions_by_package


def _precision(artifact: Artifact, params: Params, backend: TimedBackend) -> Precision:
    executed = backend.times.graphs["unet"].executed()
    return Precision(
        requested=params.precision,
        stored=artifact.manifest.stored("unet"),
        executed=executed.precision,
        shares=executed.shares,
        layer_shares=_layer_shares(executed, params.backend),
        isa=executed.isa,
        isa_from=executed.isa_from,
        evidence=EVIDENCE.get(backend.name, "") if executed.kernels else ONLY_ONE,
    )


def _layer_shares(executed: Executed, backend: str) -> dict[str, float]:
    if not executed.kernels:
        return executed.shares
    kinds = LAYER_KINDS.get(backend, OTHER_LAYER_KINDS)
    sums: dict[str, int] = {}
    for kernel in executed.kernels:
        if any(kind in kernel.kind for kind in kinds):
            sums[kernel.precision] = sums.get(kernel.precision, 0) + kernel.macs
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return {name: round(macs / total, 4) for name, macs in ordered if macs}


def _used_bytes(artifact: Artifact, backend: Backend) -> int:
    """Give the size of the files that an image needs, in the format that the engine takes."""
    size = 0
    for name, graph in artifact.manifest.graphs.items():
        chosen = next((form for form in backend.formats if form in graph.files), None)
        if chosen and name != "vae_encoder":
            size += sum(artifact.manifest.files[file].size for file in graph.files[chosen])
    return size


def _write_latents(folder: Path, latents: list[np.ndarray]) -> Path:
    path = folder / "latents.npz"
    np.savez(path, latents=np.stack(latents))
    return path


def _write_picture(folder: Path, pixels: Pixels) -> Path:
    from PIL import Image

    path = folder / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


if __name__ == "__main__":
    main()
