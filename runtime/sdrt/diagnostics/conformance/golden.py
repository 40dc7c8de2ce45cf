"""A file of golden vectors: cases, and the arrays of their stages (docs/embed/conformance.md)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from sdrt.arrays import Array
from sdrt.artifact.artifact import Artifact
from sdrt.diagnostics.conformance.tolerance import EXACT, REDUCED, Stage, Tolerance
from sdrt.errors import ArtifactError
from sdrt.files.safetensors import read_tensors, write_tensors
from sdrt.manifest import MANIFEST_NAME, Model, explain_validation_error
from sdrt.request.options import Options

FORMAT, VERSION = "sdrt-conformance", "1"


class Case(Model):
    """One picture: what was asked for, what made it, and how near another host must come."""

    name: Annotated[str, Field(pattern="^[^/]+$")]
    prompt: str
    negative_prompt: str = ""
    seed: int
    width: int
    height: int
    steps: int
    sampler: str
    sampler_options: dict[str, bool | int | float | str] = {}
    scheduler: str = "default"
    guidance_scale: float
    unet_steps: tuple[Annotated[int, Field(ge=0)], ...]
    backend: str = ""
    precision: str = ""
    tolerances: dict[Stage, Tolerance] = EXACT
    reduced_tolerances: dict[Stage, Tolerance] = REDUCED

    @property
    def options(self) -> Options:
        """As keyword arguments of a pipeline."""
        return {
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "num_inference_steps": self.steps,
            "sampler": self.sampler,
            "sampler_options": self.sampler_options,
            "scheduler": self.scheduler,
            "guidance_scale": self.guidance_scale,
        }

    def limits(self, is_reduced: bool) -> Mapping[Stage, Tolerance]:
        """How near each stage must come; stages that the file does not limit have sdrt's limits."""
        if is_reduced:
            return {**REDUCED, **self.reduced_tolerances}
        return {**EXACT, **self.tolerances}


CASES: TypeAdapter[list[Case]] = TypeAdapter(list[Case])


@dataclass(frozen=True)
class Golden:
    """Cases with their arrays, named as in the file but without the case's name."""

    path: Path
    cases: tuple[tuple[Case, "Arrays"], ...]


@dataclass(frozen=True)
class Arrays:
    """The arrays of one case; those that are missing or wrong are an `ArtifactError`."""

    where: str
    """File and case, for messages."""
    tensors: Mapping[str, Array]

    def get(self, name: str, dtype: str, *shape: int | None) -> Array:
        """One array of this type and shape, in which None is any size but nothing."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ArtifactError(f"{self.where} has no tensor {name!r}; write the file again")
        fits = len(tensor.shape) == len(shape) and all(
            size == (want or max(size, 1)) for size, want in zip(tensor.shape, shape, strict=True)
        )
        if not fits or tensor.dtype != np.dtype(dtype):
            sizes = ", ".join("any" if want is None else str(want) for want in shape)
            raise ArtifactError(
                f"{self.where}: {name} is {tensor.dtype} of {tensor.shape}, expected {dtype} of "
                f"({sizes}); write the file again"
            )
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"{self.where}: {name} has NaN or infinity; write the file again")
        return tensor


def write_golden(
    path: Path,
    artifact: Artifact,
    cases: list[tuple[Case, Mapping[str, Array]]],
    made_with: Mapping[str, str],
) -> None:
    """Write a file, whole or not at all; raises `WriteError`."""
    tensors = {
        f"{case.name}/{name}": array for case, arrays in cases for name, array in arrays.items()
    }
    records = [case.model_dump(exclude_none=True) for case, _ in cases]
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "artifact": json.dumps({"name": artifact.manifest.name, "hash": manifest_hash(artifact)}),
        "made_with": json.dumps(dict(made_with)),
        "cases": json.dumps(records, ensure_ascii=False),
    }
    write_tensors(path, tensors, metadata)


def read_golden(path: Path, artifact: Artifact) -> Golden:
    """Read a file of this artifact; raises `ArtifactError` for any other file.

    The arrays are checked when they are asked for.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is no file of golden vectors; expected one written by: sdrt conformance"
        )
    if metadata.get("version") != VERSION:
        raise ArtifactError(
            f"{path} has version {metadata.get('version')!r}, this sdrt reads version {VERSION}; "
            "write it again with: sdrt conformance"
        )
    owner, cases = _json(path, metadata, "artifact"), _json(path, metadata, "cases")
    if not isinstance(owner, dict) or owner.get("hash") != manifest_hash(artifact):
        name = owner.get("name") if isinstance(owner, dict) else owner
        raise ArtifactError(
            f"{path} was written for another artifact, {name!r}, than {artifact.root}; write one "
            "for this artifact with: sdrt conformance"
        )
    try:
        checked = CASES.validate_python(cases)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: {explain_validation_error(error)}; write the file again"
        ) from error
    if not checked or len({case.name for case in checked}) < len(checked):
        raise ArtifactError(f"{path} has no cases, or two of one name; write the file again")
    return Golden(path, tuple((case, _arrays(path, case, tensors)) for case in checked))


def manifest_hash(artifact: Artifact) -> str:
    """SHA-256 of the manifest's bytes: what every host can compute."""
    return hashlib.sha256((artifact.root / MANIFEST_NAME).read_bytes()).hexdigest()


def _arrays(path: Path, case: Case, tensors: Mapping[str, Array]) -> Arrays:
    start = f"{case.name}/"
    own = {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
    return Arrays(f"{path}, case {case.name}", own)


def _json(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: {key} in its metadata is not valid JSON ({error}); write the file again"
        ) from error
