"""The cells of the table: every combination of the requested values that can be executed."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sdrt import validation
from sdrt.artifact import Artifact
from sdrt.backends import BACKENDS, usable_backends
from sdrt.cores import default_threads
from sdrt.errors import MissingExtraError, UnsupportedError, UsageError
from sdrt.machine import has_bf16, has_int8
from sdrt.manifest import PRECISIONS, Storage
from sdrt.request.options import Options
from sdrt.request.resolve import check_prompt_alone, resolve
from sdrt_bench.bench.record import Params

PROMPT = "a red boat on the sea at sunset"
BATCHES = (1, 2, 4)
STEPS = (5, 10, 20, 30)
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)  # of the model's default size

Size = tuple[int, int]


@dataclass(frozen=True)
class TableAxes:
    """The requested values along each axis of the table; None where none were named."""

    precisions: Sequence[str] | None = None
    backends: Sequence[str] | None = None
    sizes: Sequence[Size] | None = None
    batches: Sequence[int] | None = None
    guidance: Sequence[bool] | None = None
    steps: Sequence[int] | None = None
    threads: Sequence[int] | None = None
    samplers: Sequence[str] | None = None
    sweep: str | None = None
    """This axis gets a series of values where none were named."""
    seed: int = 0
    prompt: str = PROMPT


FLOATS: tuple[Storage, ...] = ("fp32", "bf16", "fp16", "int8-weights", "int4-weights")
"""Models that are stored in one of these are computed in floating point."""


@dataclass(frozen=True)
class Models:
    """Exports of one model, by the precision in which they store the U-Net."""

    name: str
    by_stored: Mapping[str, Artifact] = field(default_factory=dict)

    @classmethod
    def from_artifacts(cls, artifacts: Sequence[Artifact]) -> "Models":
        """Sort exports by precision.

        Raises `UsageError` where two of them store the same, or are of several models, and
        `UnsupportedError` for models that take a picture.
        """
        for artifact in artifacts:
            check_prompt_alone(artifact.manifest, "the benchmark has none to give")
        names = sorted({artifact.manifest.name for artifact in artifacts})
        if len(names) > 1:
            raise UsageError(
                f"these are exports of several models, {', '.join(names)}; measure one model at "
                "a time, so that its cells can be compared"
            )
        if len({artifact.manifest.source.loras for artifact in artifacts}) > 1:
            raise UsageError(
                f"these exports of {names[0]} have different LoRAs in them; give exports with the "
                "same, so that their pictures can be compared"
            )
        by_stored: dict[str, Artifact] = {}
        for artifact in artifacts:
            other = by_stored.setdefault(artifact.manifest.stored("unet"), artifact)
            if other is not artifact:
                stored = artifact.manifest.stored("unet")
                raise UsageError(
                    f"{other.root} and {artifact.root} are both stored in {stored}; give one "
                    "export of each precision"
                )
        return cls(names[0], by_stored)

    @property
    def first(self) -> Artifact:
        """The export whose defaults are those of the model."""
        return next(iter(self.by_stored.values()))

    def executing(self, precision: str) -> Artifact | None:
        """Give the export to execute a precision from: stored in it, or in another float type."""
        floats = FLOATS if precision in ("fp32", "bf16") else ()
        usable = (stored for stored in (precision, *floats) if stored in self.by_stored)
        return next((self.by_stored[stored] for stored in usable), None)


def cells(models: Models, axes: TableAxes) -> list[Params]:
    """Give all cells in the order of the table; raises `UsageError` or `UnsupportedError`.

    What an engine cannot execute is left out unless both precision and engine were named; then it
    is an error, and so is a named value without any cell.
    """
    _check_names(axes)
    backends = axes.backends or list(usable_backends())
    precisions = axes.precisions or PRECISIONS
    is_exact = axes.precisions is not None and axes.backends is not None
    possible = []
    for precision, backend in itertools.product(precisions, backends):
        why = impossible(models, backend, precision)
        if why is None:
            possible.append((backend, precision))
        elif is_exact:
            raise UnsupportedError(f"{models.name} {backend} {precision}: {why}")
    _check_all_used(
        "precision", axes.precisions, [precision for _, precision in possible], models, backends
    )
    _check_all_used(
        "backend", axes.backends, [backend for backend, _ in possible], models, precisions
    )
    if not possible:
        raise UnsupportedError(f"no installed engine can run {models.first.root}")
    return [
        params
        for backend, precision in possible
        for params in _engine_cells(models, backend, precision, axes)
    ]


def impossible(models: Models, backend: str, precision: str) -> str | None:
    """Say why an engine cannot execute a precision of this model; None where it can."""
    if models.executing(precision) is None:
        stored = ", ".join(models.by_stored)
        return f"the model is stored in {stored}; add an export with --precision {precision}"
    if precision == "bf16" and backend == "onnxruntime":
        return "onnxruntime has no bf16 arithmetic; use --backend openvino"
    if precision == "bf16" and not has_bf16():
        return "this processor has no bf16 arithmetic (AVX512-BF16 or AMX)"
    if precision == "int8" and not has_int8():
        return "this processor has no integer arithmetic for networks"
    return None


def cell_name(params: Params) -> str:
    """Give a name that no other cell of a table has, peers' cells included."""
    tool = "" if params.tool == "sdrt" else f"{params.tool} "
    settings = "" if params.settings == "ours" else f" {params.settings}"
    return (
        f"{tool}{params.backend} {params.precision}{settings} {group_name(params)} "
        f"{params.threads} threads"
    )


def group_name(params: Params) -> str:
    """Give the name shared by cells that do the same work, so that their times can be compared."""
    guided = "guided" if params.guidance else "unguided"
    return (
        f"{params.model} {params.width}x{params.height} batch {params.batch} {guided} "
        f"{params.steps} steps {params.sampler}"
    )


def _engine_cells(
    models: Models, backend: str, precision: str, axes: TableAxes
) -> Iterator[Params]:
    artifact = models.executing(precision)
    assert artifact is not None
    defaults = models.first.manifest.defaults
    sizes = axes.sizes or _sizes(defaults.width, defaults.height, models.first, axes)
    values = (
        sizes,
        axes.batches or (BATCHES if axes.sweep == "batch" else (1,)),
        axes.guidance or (defaults.guidance_scale > 1,),
        axes.steps or (STEPS if axes.sweep == "steps" else (defaults.num_inference_steps,)),
        axes.samplers or (defaults.sampler,),
        axes.threads or (_threads() if axes.sweep == "threads" else (default_threads(),)),
    )
    scale = defaults.guidance_scale if defaults.guidance_scale > 1 else 7.5
    for (width, height), batch, guided, steps, sampler, threads in itertools.product(*values):
        options: Options = {
            "width": width,
            "height": height,
            "num_images_per_prompt": batch,
            "num_inference_steps": steps,
            "sampler": sampler,
            "seed": axes.seed,
        }
        request = resolve(artifact.manifest, axes.prompt, options)  # refuses invalid values
        yield Params(
            model=models.name,
            backend=backend,
            precision=precision,
            width=width,
            height=height,
            batch=batch,
            guidance=guided,
            guidance_scale=scale,
            steps=steps,
            sampler=request.sampler_settings.sampler,
            threads=validation.whole("threads", threads, 1, 1024),
            seed=axes.seed,
            prompt=axes.prompt,
        )


def _sizes(width: int, height: int, artifact: Artifact, axes: TableAxes) -> list[Size]:
    if axes.sweep != "size":
        return [(width, height)]
    unit = artifact.manifest.latent.downscale * validation.MIN_LATENT
    sizes = [
        cast(Size, tuple(max(unit, round(side * share / unit) * unit) for side in (width, height)))
        for share in SCALES
    ]
    return list(dict.fromkeys(sizes))


def _threads() -> list[int]:
    """1, 2, 4, ... and all cores."""
    cores = default_threads()
    return sorted({*itertools.takewhile(lambda n: n < cores, (2**i for i in range(20))), cores})


def _check_names(axes: TableAxes) -> None:
    for backend in axes.backends or ():
        validation.known("backend", backend, BACKENDS)
        if backend not in usable_backends():
            raise MissingExtraError(backend, "openvino" if backend == "openvino" else "all")
    for precision in axes.precisions or ():
        validation.known("precision", precision, PRECISIONS)


def _check_all_used(
    axis: str,
    named: Sequence[str] | None,
    used: Sequence[str],
    models: Models,
    others: Sequence[str],
) -> None:
    for value in named or ():
        if value not in used:
            pair = (others[0], value) if axis == "precision" else (value, others[0])
            reasons = [
                impossible(models, *((other, value) if axis == "precision" else (value, other)))
                for other in others
            ]
            why = next(reason for reason in reversed(reasons) if reason)
            raise UnsupportedError(f"{models.name} {' '.join(pair)}: {why}")
