"""What a round is to the runner: a process that reads a specification and leaves a result.

Ours and the peers' are alike: the runner starts `Start.argv`, writes a `Spec` as JSON to its
standard input, and reads a `Result` or a `Failure` as JSON from the file that the specification
names. What the process prints is kept for the error message only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from sdrt.manifest import Model
from sdrt_bench.bench.record import Bytes, Params, Precision, Round


class Spec(Model):
    """What one process shall do."""

    name: str
    """Of the cell, for errors."""
    params: Params
    measure: int
    """How many of the schedule's steps to run, from the first; then the latents are decoded."""
    result: Path
    """The file to write the outcome to."""
    folder: Path
    """Where latents and picture go; it is there, and empty."""
    options: dict[str, Any] = {}
    """The source's own: which artifact, which folder of weights."""


class Result(Model):
    """What a round gave."""

    round: Round
    precision: Precision
    artifact_bytes: Bytes | None = None
    versions: dict[str, str] = {}
    options: dict[str, Any] = {}
    """Settings of the engine that are worth reading in the table."""
    latents: Path | None = None
    """An npz file with `latents`: (steps, channels, h/8, w/8), the first image after each step."""
    picture: Path | None = None
    """PNG of the first image."""
    warnings: tuple[str, ...] = ()


class Failure(Model):
    """Why a round gave nothing, in one sentence."""

    error: str
    kind: str = ""
    """Name of the error's class: "UnsupportedError"."""


OUTCOME: TypeAdapter[Result | Failure] = TypeAdapter(Result | Failure)


@dataclass(frozen=True)
class Start:
    """How to start the process of one round."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """The whole environment; None: this process's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the specification."""


class Source(Protocol):
    """Knows how cells of one kind are run: our own, or those of a peer."""

    def start(self, params: Params) -> Start:
        """The process for one round of a cell; raises `SdrtError` where there can be none."""
        ...
