"""One round of a cell on sdrt, in a process of its own: `python -m sdrt_bench.bench.worker`.

Reads a `Spec` from standard input. The picture is really made: text encoder, the sampler's loop,
decoder. Where only the first steps are to be run, the decoder gets the latents after them, so
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
from sdrt_bench.bench.process_stats import Memory, Watch, resident_bytes
from sdrt_bench.bench.record import Params, Precision, Round
from sdrt_bench.bench.round_protocol import Failure, Result, Spec
from sdrt_bench.bench.timed_backend import ClockedBackend
from sdrt_bench.precision_check import check_precision
from sdrt_bench.similarity import Pixels

ENGINE_PACKAGES = ("onnxruntime", "openvino", "numpy")
EVIDENCE = {"openvino": "runtime model", "onnxruntime": "profile"}
ONLY_ONE = "the engine has no other arithmetic"
# Kernels of convolutions and linear layers by their engines' words; what remains is attention.
# OpenVINO calls a product with weights FullyConnected, and only one of two tensors MatMul.
LAYER_WORDS = {"openvino": ("Convolution", "FullyConnected")}
OTHER_LAYER_WORDS = ("Conv", "MatMul", "Gemm", "FullyConnected")

OpenBackend = Callable[[Params], Backend]


def main() -> None:
    """Do what standard input says, and leave a result or a failure."""
    spec = Spec.model_validate_json(sys.stdin.read())
    outcome = attempt(lambda: measure(spec, open_asked))
    with whole_file(spec.result) as target:
        target.write_text(outcome.model_dump_json(), encoding="utf-8")


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """The result, or why there is none; errors that nobody foresaw go through."""
    try:
        return work()
    except SdrtError as error:
        return Failure(error=str(error), kind=type(error).__name__)


def open_asked(params: Params) -> Backend:
    """The engine that a cell names."""
    return open_backend(
        params.backend,
        threads=params.threads,
        precision=params.precision,  # type: ignore[arg-type]  # open_backend checks it
    )


def options_of(params: Params) -> Options:
    """A cell's parameters under the names of the Python interface."""
    return {
        "width": params.width,
        "height": params.height,
        "num_images_per_prompt": params.batch,
        "guidance_scale": params.guidance_scale if params.guidance else 1.0,
        "num_inference_steps": params.steps,
        "sampler": params.sampler,
        "seed": params.seed,
    }


def measure(spec: Spec, open_engine: OpenBackend) -> Result:
    """Make the picture once; raises `UnsupportedError` where another precision was executed."""
    params, started = spec.params, time.perf_counter()
    artifact = open_artifact(spec.options["artifact"])
    backend = ClockedBackend(open_engine(params))
    is_checked = not spec.options.get("ignore_memory", False)
    pipe = Pipeline(artifact, backend, retry_precision=False, check_memory=is_checked)
    run = pipe.start(params.prompt, **options_of(params))
    begun, watch = time.perf_counter(), Watch()
    seen = _watch_steps(run, spec.measure, started)
    is_whole = spec.measure >= params.steps
    image = run.result().images[0] if is_whole else run.decode(seen.aim)[0]
    seconds = time.perf_counter() - begun - seen.aside_s
    noise = watch.noise()
    seen.memory.look()
    found = _precision(artifact, params, backend)
    check_precision(spec.name, artifact, backend, "executed", found.executed)
    return Result(
        round=_round(run.state.timings, params.steps, seconds, backend).model_copy(
            update={
                "first_step_end_s": seen.first_step_end_s,
                "peak_rss": machine.peak_memory_bytes() or None,
                "steady_rss": seen.steady_rss,
                "peak_pss": seen.memory.peak,
                "noise": noise,
            }
        ),
        precision=found,
        artifact_bytes=_used_bytes(artifact, backend),
        versions=versions(),
        latents=_write_latents(spec.folder, seen.latents),
        picture=_write_picture(spec.folder, np.asarray(image)),
        warnings=tuple(dict.fromkeys(run.state.warnings)),
    )


@dataclass
class _Seen:
    """What was looked at between the steps of a run."""

    memory: Memory = field(default_factory=Memory)
    latents: list[Latents] = field(default_factory=list)
    """The first image's, after each step."""
    aim: Latents = field(default_factory=lambda: np.empty(0, np.float32))
    """What can be decoded after the last step that was run, clean already."""
    first_step_end_s: float | None = None
    steady_rss: int | None = None
    aside_s: float = 0.0
    """Spent on looking."""


def _watch_steps(run: Run, most: int, started: float) -> _Seen:
    """Run so many steps; `started` is when the work on the model began."""
    seen = _Seen()
    for step in run:
        looked = time.perf_counter()
        if seen.first_step_end_s is None:
            seen.first_step_end_s = looked - started
        seen.latents.append(step.latents[0])
        seen.aim = step.denoised if step.index + 1 < step.count else step.latents
        seen.memory.look()
        is_last = step.index + 1 == min(most, step.count)
        if is_last:
            seen.steady_rss = resident_bytes()
        seen.aside_s += time.perf_counter() - looked
        if is_last and most < step.count:
            break
    return seen


def _round(timings: Timings, count: int, seconds: float, backend: ClockedBackend) -> Round:
    """The times: of `count` steps those that were run, and `seconds` from prompt to pixels."""
    steps = timings.step_s
    missing = (count - len(steps)) * statistics.median(steps[1:] or steps)
    return Round(
        load_s=dict(timings.load_s),
        text_encoder_s=timings.text_encoder_s,
        step_s=tuple(steps),
        sampler_s=max(0.0, sum(steps) - backend.clocks.seconds.get("unet", 0.0)),
        vae_decoder_s=timings.vae_decoder_s,
        image_s=seconds - sum(timings.load_s.values()) + missing,
        steps_run=len(steps),
    )


def versions() -> dict[str, str]:
    """Of the packages that the work is done by."""
    import sdrt

    found = {"sdrt": sdrt.__version__}
    for name in ENGINE_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _precision(artifact: Artifact, params: Params, backend: ClockedBackend) -> Precision:
    executed = backend.clocks.watched["unet"].executed()
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
    words = LAYER_WORDS.get(backend, OTHER_LAYER_WORDS)
    sums: dict[str, int] = {}
    for kernel in executed.kernels:
        if any(word in kernel.kind for word in words):
            sums[kernel.precision] = sums.get(kernel.precision, 0) + kernel.macs
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return {name: round(macs / total, 4) for name, macs in ordered if macs}


def _used_bytes(artifact: Artifact, backend: Backend) -> int:
    """Size of the files that a picture needs, in the format that the engine takes."""
    size = 0
    for name, graph in artifact.manifest.graphs.items():
        chosen = next((one for one in backend.formats if one in graph.files), None)
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
