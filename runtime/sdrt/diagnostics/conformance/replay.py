"""Do each stage of golden cases again, from the golden inputs of that stage."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.diagnostics.conformance.golden import Arrays, Case, read_golden
from sdrt.diagnostics.conformance.stages import FEEDS, Answer, Stages
from sdrt.diagnostics.conformance.tolerance import STAGES, Difference, Stage
from sdrt.errors import ArtifactError, ParityError, UsageError
from sdrt.networks.run_state import RunState
from sdrt.pipeline import Pipeline
from sdrt.request.resolve import resolve
from sdrt.text.tokenizer import Tokens

PREFIXES = ("", "negative_")


@dataclass(frozen=True)
class Finding:
    """One stage of one case: the worst of its arrays."""

    case: str
    stage: Stage
    difference: Difference


@dataclass(frozen=True)
class Replay:
    """All stages of all cases."""

    golden: str
    backend: str
    findings: tuple[Finding, ...]

    def worst(self) -> dict[Stage, Finding]:
        """Of each stage, in order: one that fails if there is one, else the greatest difference."""
        worst = {}
        for stage in STAGES:
            findings = [finding for finding in self.findings if finding.stage == stage]
            worst[stage] = min(
                findings,
                key=lambda finding: (finding.difference.is_within, finding.difference.margin),
            )
        return worst

    def check(self) -> None:
        """Raise `ParityError` that names the first stage that is too far from the golden file."""
        for stage, worst in self.worst().items():
            if not worst.difference.is_within:
                limit = Difference(worst.difference.measure, worst.difference.limit, 0).to_text()
                raise ParityError(
                    f"the first stage that fails is {stage}, in the case {worst.case!r} of "
                    f"{self.golden}: {worst.difference.to_text()}, expected {limit}; everything "
                    "before it is right, so look there"
                )

    def to_record(self) -> dict[str, Any]:
        """As plain values; what JSON has no number for is None."""
        worst = self.worst()
        failed = (stage for stage, finding in worst.items() if not finding.difference.is_within)
        return {
            "golden": self.golden,
            "backend": self.backend,
            "first_failure": next(failed, None),
            "stages": {stage: _record(finding) for stage, finding in worst.items()},
            "cases": [{"stage": finding.stage, **_record(finding)} for finding in self.findings],
        }

    def to_text(self) -> str:
        """For people: a line for each stage."""
        count = len({finding.case for finding in self.findings})
        lines = [f"{self.golden}, {count} cases, on {self.backend}: the worst of each stage"]
        for stage, finding in self.worst().items():
            difference = finding.difference
            verdict = "ok" if difference.is_within else "FAILS"
            lines.append(f"  {stage:10}  {verdict:5}  {difference.to_text():24}  {finding.case}")
        return "\n".join(lines)


def replay(pipeline: Pipeline, path: Path) -> Replay:
    """Replay a file on an open model.

    Raises `ArtifactError` for a file that is not whole, or was written for another artifact.
    """
    golden = read_golden(path, pipeline.artifact)
    tasks = [_Case(pipeline, case, arrays) for case, arrays in golden.cases]
    findings = [finding for task in tasks for finding in task.findings()]
    return Replay(str(path), pipeline.backend.name, tuple(findings))


class _Case:
    """One case with its arrays, all of them checked before anything runs."""

    def __init__(self, pipeline: Pipeline, case: Case, arrays: Arrays) -> None:
        self._pipeline, self._case = pipeline, case
        manifest = pipeline.artifact.manifest
        try:
            request = resolve(manifest, case.prompt, case.options)
            self._stages = Stages(pipeline, request)
        except UsageError as error:
            raise ArtifactError(f"{arrays.where}: {error}; write the file again") from error
        prefixes = PREFIXES[: 1 + request.is_guided]
        length = manifest.text_encoders[0].length
        self._ids = [arrays.get(f"{prefix}ids", "int64", None, length) for prefix in prefixes]
        self._weights = [
            arrays.get(f"{prefix}weights", "float32", len(ids), length)
            for prefix, ids in zip(prefixes, self._ids, strict=True)
        ]
        vocabulary = pipeline.vocabulary
        if any(ids.min() < 0 or ids.max() >= vocabulary for ids in self._ids):
            raise ArtifactError(
                f"{arrays.where}: ids has numbers outside 0 to {vocabulary - 1}; write the file "
                "again"
            )
        size = manifest.text_width if isinstance(manifest.text_width, int) else None
        tokens = max(len(ids) for ids in self._ids) * length
        self._embeddings = [
            arrays.get(f"{prefix}embeddings", "float32", 1, tokens, size) for prefix in prefixes
        ]
        latent = manifest.latent
        height, width = request.height, request.width
        image_shape = latent.channels, height // latent.downscale, width // latent.downscale
        steps = request.num_inference_steps
        self._noise = arrays.get("noise", "float32", None, *image_shape)
        self._sigmas = [
            arrays.get("sigmas", "float64", steps + 1),
            arrays.get("timesteps", "float64", steps),
        ]
        self._denoised = arrays.get("denoised", "float32", None, *image_shape)
        self._latents = arrays.get("latents", "float32", steps, *image_shape)
        self._pixels = arrays.get("pixels", "uint8", height, width, 3)
        levels = arrays.get("levels", "float64", len(self._denoised))
        if not case.unet_steps or max(case.unet_steps) >= len(levels) or levels.min() <= 0:
            raise ArtifactError(
                f"{arrays.where}: unet_steps or levels are not those of its answers; write the "
                "file again"
            )
        self._answers = {
            i: self._answer(arrays, i, float(levels[i]), image_shape, tokens)
            for i in case.unet_steps
        }

    def findings(self) -> Iterator[Finding]:
        """Each stage in order."""
        by_stage: dict[Stage, Callable[[RunState], Iterator[tuple[Array, Array]]]] = {
            "ids": self._ids_stage,
            "weights": self._weights_stage,
            "embeddings": self._embeddings_stage,
            "noise": self._noise_stage,
            "sigmas": self._sigmas_stage,
            "unet": self._unet_stage,
            "denoised": self._denoised_stage,
            "latents": self._latents_stage,
            "pixels": self._pixels_stage,
            "picture": self._picture_stage,
        }
        for stage in STAGES:
            state = RunState()
            pairs = list(by_stage[stage](state))
            is_reduced = any(network.executed != "fp32" for network in state.networks.values())
            tolerance = self._case.limits(is_reduced)[stage]
            differences = [tolerance.compare(golden, ours) for golden, ours in pairs]
            yield Finding(self._case.name, stage, min(differences, key=attrgetter("margin")))

    def _answer(
        self, arrays: Arrays, i: int, sigma: float, image_shape: tuple[int, ...], tokens: int
    ) -> Answer:
        """The U-Net's inputs and output in the file, with any number of images up to two."""
        spec = self._pipeline.artifact.manifest.graphs["unet"]
        sample = arrays.get(f"unet/{i}/sample", "float32", None, *image_shape)
        batch = len(sample)
        shapes: dict[str, tuple[int | None, ...]] = {
            "sample": (batch, *image_shape),
            "timestep": (),
            "encoder_hidden_states": (batch, tokens, self._embeddings[0].shape[2]),
        }
        feeds = {
            tensor.name: arrays.get(
                f"unet/{i}/{FEEDS[tensor.name]}",
                "float32",
                *shapes.get(tensor.name, (batch, None)),
            )
            for tensor in spec.inputs
        }
        if batch != len(self._ids):
            raise ArtifactError(
                f"{arrays.where}: unet/{i}/sample has {batch} images, expected {len(self._ids)}; "
                "write the file again"
            )
        out = arrays.get(f"unet/{i}/out", "float32", batch, *image_shape)
        return Answer(sigma, feeds, out, self._denoised[i : i + 1])

    def _ids_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        yield from zip(self._ids, (tokens.ids for tokens in self._stages.tokens()), strict=True)

    def _weights_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        weights = (tokens.weights for tokens in self._stages.tokens())
        yield from zip(self._weights, weights, strict=True)

    def _embeddings_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        tokens = [Tokens(*pair) for pair in zip(self._ids, self._weights, strict=True)]
        yield from zip(self._embeddings, self._stages.encode(tokens, state), strict=True)

    def _noise_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        _, drawn = self._stages.sample(self._noise, self._denoised)
        yield self._noise, self._stages.noise(drawn)

    def _sigmas_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        steps = self._stages.steps
        yield from zip(self._sigmas, (steps.sigmas, steps.timesteps), strict=True)

    def _unet_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        for answer in self._answers.values():
            yield answer.out, self._stages.run_unet(answer.feeds, state)

    def _denoised_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        artifact, backend = self._pipeline.artifact, self._pipeline.backend
        network = artifact.network("unet", backend.formats)
        for answer in self._answers.values():
            yield answer.denoised, self._stages.denoise(network, answer, self._embeddings)

    def _latents_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        yield self._latents, self._stages.sample(self._noise, self._denoised)[0]

    def _pixels_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        yield self._pixels, self._stages.pixels(self._latents[-1], state)

    def _picture_stage(self, state: RunState) -> Iterator[tuple[Array, Array]]:
        run = self._stages.run()
        picture = np.asarray(run.result().images[0])
        state.networks.update(run.state.networks)
        yield self._pixels, picture


def _record(finding: Finding) -> dict[str, Any]:
    difference = finding.difference
    return {
        "case": finding.case,
        "measure": difference.measure,
        "found": difference.value if math.isfinite(difference.value) else None,
        "limit": difference.limit,
        "is_within": difference.is_within,
    }
