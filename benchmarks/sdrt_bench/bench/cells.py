"""From what was asked to the cells of the table: the full cross product, less what cannot be."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sdrt import validation
from sdrt.artifact import Artifact
from sdrt.backends import BACKENDS, usable_backends
from sdrt.errors import MissingExtraError, UnsupportedError, UsageError
from sdrt.machine import has_bf16, has_int8, usable_cores
from sdrt.manifest import PRECISIONS, Storage
from sdrt.request.options import Options
from sdrt.request.resolve import check_prompt_alone, resolve
from sdrt_bench.bench.record import Params

PROMPT = "a red boat on the sea at sunset"
BATCHES = (1, 2, 4)
STEPS = (5, 10, 20, 30)
SIDES = (0.5, 0.75, 1.0, 1.25, 1.5)  # of the model's own

Size = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """The axes of the table; None where the user named nothing."""

    precisions: Sequence[str] | None = None
    backends: Sequence[str] | None = None
    sizes: Sequence[Size] | None = None
    batches: Sequence[int] | None = None
    guidance: Sequence[bool] | None = None
    steps: Sequence[int] | None = None
    threads: Sequence[int] | None = None
    samplers: Sequence[str] | None = None
    sweep: str | None = None
    """An axis that gets a ladder of values where none were named."""
    seed: int = 0
    prompt: str = PROMPT


FLOATS: tuple[Storage, ...] = ("fp32", "bf16", "fp16", "int8-weights", "int4-weights")
"""Stored so, a model is computed in float."""


@dataclass(frozen=True)
class Models:
    """Exports of one model, by the precision in which they store the U-Net."""

    name: str
    by_stored: Mapping[str, Artifact] = field(default_factory=dict)

    @classmethod
    def of(cls, artifacts: Sequence[Artifact]) -> "Models":
        """Raises `UsageError` where two of them store the same, or are of several models.

        Raises `UnsupportedError` for models that take a picture.
        """
        for artifact in artifacts:
            check_prompt_alone(artifact.manifest, "the benchmark has none to give")
        names = sorted({one.manifest.name for one in artifacts})
        if len(names) > 1:
            raise UsageError(
                f"these are exports of several models, {', '.join(names)}; measure one model at "
                "a time, so that its cells can be compared"
            )
        if len({one.manifest.source.loras for one in artifacts}) > 1:
            raise UsageError(
                f"these exports of {names[0]} have different LoRAs in them; give exports with the "
                "same, so that their pictures can be compared"
            )
        found: dict[str, Artifact] = {}
        for artifact in artifacts:
            other = found.setdefault(artifact.manifest.stored("unet"), artifact)
            if other is not artifact:
                stored = artifact.manifest.stored("unet")
                raise UsageError(
                    f"{other.root} and {artifact.root} are both stored in {stored}; give one "
                    "export of each precision"
                )
        return cls(names[0], found)

    @property
    def first(self) -> Artifact:
        """The one that stands for the model."""
        return next(iter(self.by_stored.values()))

    def executing(self, precision: str) -> Artifact | None:
        """The export to execute a precision from: stored so, or else another float one."""
        floats = FLOATS if precision in ("fp32", "bf16") else ()
        return next(
            (self.by_stored[one] for one in (precision, *floats) if one in self.by_stored), None
        )


def cells(models: Models, asked: Asked) -> list[Params]:
    """All cells in the order of the table; raises `UsageError` or `UnsupportedError`.

    What an engine cannot do is left out where precision or engine were not named; where both
    were, it is an error, and so is a named value of which nothing is left.
    """
    _check_names(asked)
    backends = asked.backends or list(usable_backends())
    precisions = asked.precisions or PRECISIONS
    is_exact = asked.precisions is not None and asked.backends is not None
    possible = []
    for precision, backend in itertools.product(precisions, backends):
        why = impossible(models, backend, precision)
        if why is None:
            possible.append((backend, precision))
        elif is_exact:
            raise UnsupportedError(f"{models.name} {backend} {precision}: {why}")
    _check_used("precision", asked.precisions, [one for _, one in possible], models, backends)
    _check_used("backend", asked.backends, [one for one, _ in possible], models, precisions)
    if not possible:
        raise UnsupportedError(f"no installed engine can run {models.first.root}")
    return [
        params
        for backend, precision in possible
        for params in _of_engine(models, backend, precision, asked)
    ]


def impossible(models: Models, backend: str, precision: str) -> str | None:
    """Why an engine cannot execute a precision of this model; None where it can."""
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
    """Tells each cell of a table from the others, peers' too."""
    tool = "" if params.tool == "sdrt" else f"{params.tool} "
    settings = "" if params.settings == "ours" else f" {params.settings}"
    return (
        f"{tool}{params.backend} {params.precision}{settings} {group_name(params)} "
        f"{params.threads} threads"
    )


def group_name(params: Params) -> str:
    """Of cells that do the same work, so that their times can be compared."""
    guided = "guided" if params.guidance else "unguided"
    return (
        f"{params.model} {params.width}x{params.height} batch {params.batch} {guided} "
        f"{params.steps} steps {params.sampler}"
    )


def _of_engine(models: Models, backend: str, precision: str, asked: Asked) -> Iterator[Params]:
    artifact = models.executing(precision)
    assert artifact is not None
    defaults = models.first.manifest.defaults
    sides = asked.sizes or _sizes(defaults.width, defaults.height, models.first, asked)
    axes = (
        sides,
        asked.batches or (BATCHES if asked.sweep == "batch" else (1,)),
        asked.guidance or (defaults.guidance_scale > 1,),
        asked.steps or (STEPS if asked.sweep == "steps" else (defaults.num_inference_steps,)),
        asked.samplers or (defaults.sampler,),
        asked.threads or (_threads() if asked.sweep == "threads" else (usable_cores(),)),
    )
    scale = defaults.guidance_scale if defaults.guidance_scale > 1 else 7.5
    for (width, height), batch, guided, steps, sampler, threads in itertools.product(*axes):
        options: Options = {
            "width": width,
            "height": height,
            "num_images_per_prompt": batch,
            "num_inference_steps": steps,
            "sampler": sampler,
            "seed": asked.seed,
        }
        request = resolve(artifact.manifest, asked.prompt, options)  # refuses what cannot be
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
            seed=asked.seed,
            prompt=asked.prompt,
        )


def _sizes(width: int, height: int, artifact: Artifact, asked: Asked) -> list[Size]:
    if asked.sweep != "size":
        return [(width, height)]
    unit = artifact.manifest.latent.downscale * validation.MIN_LATENT
    ladder = [
        cast(Size, tuple(max(unit, round(side * share / unit) * unit) for side in (width, height)))
        for share in SIDES
    ]
    return list(dict.fromkeys(ladder))


def _threads() -> list[int]:
    """1, 2, 4, ... and all cores."""
    cores = usable_cores()
    return sorted({*itertools.takewhile(lambda n: n < cores, (2**i for i in range(20))), cores})


def _check_names(asked: Asked) -> None:
    for backend in asked.backends or ():
        validation.known("backend", backend, BACKENDS)
        if backend not in usable_backends():
            raise MissingExtraError(backend, "openvino" if backend == "openvino" else "all")
    for precision in asked.precisions or ():
        validation.known("precision", precision, PRECISIONS)


def _check_used(
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
