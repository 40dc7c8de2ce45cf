"""The protocol between the runner and the process of one round: specification in, result out.

It is the same for sdrt and for peers. The runner starts `RoundCommand.argv`, writes a `RoundSpec`
as JSON to standard input, and reads a `RoundResult` or a `RoundFailure` as JSON from the file that
the specification names. What the process prints is kept for the error message only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from sdrt.manifest import Model
from sdrt_bench.bench.record import Bytes, Params, Precision, Round


class RoundSpec(Model):
    """What one process shall measure."""

    name: str
    """This is the cell's name, for errors."""
    params: Params
    measure: int
    """So many of the schedule's steps are run from the first on; then the latents are decoded."""
    result: Path
    """The outcome is written to this file."""
    folder: Path
    """Latents and image go to this folder, which exists and is empty."""
    options: dict[str, Any] = {}
    """The runner adds its own: which artifact, or which folder of weights."""


class RoundResult(Model):
    """What a round measured."""

    round: Round
    precision: Precision
    artifact_bytes: Bytes | None = None
    versions: dict[str, str] = {}
    options: dict[str, Any] = {}
    """These settings of the engine are worth reading in the table."""
    latents: Path | None = None
    """An npz file has `latents`: (steps, channels, h/8, w/8), the first image after each step."""
    picture: Path | None = None
    """The first image is in this PNG file."""
    warnings: tuple[str, ...] = ()


class RoundFailure(Model):
    """Why a round has no result, in one sentence."""

    error: str
    kind: str = ""
    """This is the name of the error's class: "UnsupportedError"."""


OUTCOME: TypeAdapter[RoundResult | RoundFailure] = TypeAdapter(RoundResult | RoundFailure)


@dataclass(frozen=True)
class RoundCommand:
    """How to start the process of one round."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """This is the whole environment; None stands for that of the present process."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """They go into the specification."""


class CellRunner(Protocol):
    """Knows how cells of one tool are run: sdrt's, or those of a peer."""

    def command(self, params: Params) -> RoundCommand:
        """Give the process for one round of a cell; raises `SdrtError` where there can be none."""
        ...
