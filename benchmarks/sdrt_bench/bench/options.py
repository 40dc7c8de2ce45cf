"""Options of `sdrt bench`, and the settings that follow from them. Imports nothing heavy."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sdrt import validation
from sdrt.cli.option_types import argument, option
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt_bench.bench.cells import TableAxes
    from sdrt_bench.bench.scaling_fit import Axis
    from sdrt_bench.bench.session import SessionSettings

Value = TypeVar("Value")

FILE: Any = click.Path(path_type=Path)
SWEEPS = ("size", "batch", "threads", "steps")
QUICK: dict[str, Any] = {"repeat": 1, "accuracy": 4, "peak_seconds": 0.2}
MAX = 1_000_000
EXAMPLES = {
    "precision": "fp32,bf16",
    "backend": "openvino,onnxruntime",
    "size": "512x512,768",
    "batch": "1,4",
    "steps": "10,20",
    "threads": "1,2",
    "sampler": "ddim,dpm++2m",
}


@dataclass(frozen=True)
class ModelOptions:
    """Which model to measure."""

    artifacts: tuple[str, ...] = argument(nargs=-1, metavar="[ARTIFACT]...")
    preset: str | None = option(
        "--preset", metavar="NAME", help="Export this preset, once, and measure that."
    )
    is_random: bool = option("--random", is_flag=True, help="With --preset: random weights.")

    def __post_init__(self) -> None:
        """Raise `UsageError` for options that exclude each other."""
        if self.preset and self.artifacts:
            raise UsageError("both artifacts and --preset were given; give one of them")
        if self.is_random and not self.preset:
            raise UsageError("--random was given without --preset; add for example --preset sd15")


@dataclass(frozen=True)
class AxisOptions:
    """Values along each axis of the table; options with X,... take a list."""

    precision: str | None = option(
        "--precision", metavar="X,...", help="Precisions to execute: fp32, bf16, int8."
    )
    backend: str | None = option("--backend", metavar="X,...", help="openvino, onnxruntime.")
    size: str | None = option(
        "--size", metavar="WxH,...", help="Width and height, or one number for both."
    )
    batch: str | None = option("--batch", metavar="N,...", help="Images at once.")
    guidance: bool = option(
        "--guidance", is_flag=True, help="Guided cells; default: as the model is used."
    )
    no_guidance: bool = option(
        "--no-guidance", is_flag=True, help="Unguided cells; with --guidance: both."
    )
    steps: str | None = option("--steps", metavar="N,...", help="Number of denoising steps.")
    threads: str | None = option(
        "-t", "--threads", metavar="N,...", help="Default: the cores one may use."
    )
    sampler: str | None = option(
        "--sampler", metavar="X,...", help="Sampling methods; see: sdrt samplers."
    )
    sweep: "Axis | None" = option(
        "--sweep", type=click.Choice(SWEEPS), help="Fit how the time grows along one axis."
    )
    prompt: str | None = option("-p", "--prompt", metavar="TEXT", help="What is painted.")
    seed: int = option("-s", "--seed", type=int, default=0, show_default=True)

    def table_axes(self) -> "TableAxes":
        """Read the lists; raises `UsageError` for one that is malformed."""
        from sdrt_bench.bench.cells import PROMPT, TableAxes

        flags = ((True, self.guidance), (False, self.no_guidance))
        return TableAxes(
            precisions=read_list("precision", self.precision, str),
            backends=read_list("backend", self.backend, str),
            sizes=read_list("size", self.size, read_size),
            batches=read_list("batch", self.batch, int),
            guidance=[is_guided for is_guided, is_set in flags if is_set] or None,
            steps=read_list("steps", self.steps, int),
            threads=read_list("threads", self.threads, int),
            samplers=read_list("sampler", self.sampler, str),
            sweep=self.sweep,
            seed=self.seed,
            prompt=PROMPT if self.prompt is None else self.prompt,
        )


@dataclass(frozen=True)
class MeasurementOptions:
    """What to measure of each cell, and how often."""

    repeat: int | None = option(
        "--repeat", type=int, metavar="N", help="Rounds of each cell; default 2."
    )
    measure: int | None = option(
        "--measure", type=int, metavar="N", help="Run only the first N steps; large models: 4."
    )
    accuracy: int | None = option(
        "--accuracy", type=int, metavar="N", help="Prompts with a known answer; default 24."
    )
    no_fidelity: bool = option(
        "--no-fidelity", is_flag=True, help="Do not compare single networks with fp32."
    )
    no_pictures: bool = option(
        "--no-pictures", is_flag=True, help="Leave the images out of the record."
    )
    no_probe: bool = option("--no-probe", is_flag=True, help="Do not measure the machine's peaks.")
    ignore_memory: bool = option(
        "--ignore-memory", is_flag=True, help="Run cells that are predicted not to fit."
    )
    quick: bool = option(
        "--quick", is_flag=True, help="One round, few prompts: less than a minute."
    )

    def session_settings(self, sweep: "Axis | None", redo_noisy: bool) -> "SessionSettings":
        """Check the numbers, and fill in defaults; raises `UsageError`."""
        from sdrt_bench.bench.session import SessionSettings

        numbers = {"repeat": self.repeat, "accuracy": self.accuracy, "measure": self.measure}
        given = {name: number for name, number in numbers.items() if number is not None}
        for name, number in given.items():
            validation.whole(name, number, 0 if name == "accuracy" else 1, MAX)
        values = {**(QUICK if self.quick else {}), **given}
        if self.no_probe:
            values["peak_seconds"] = 0.0
        return SessionSettings(
            with_fidelity=not self.no_fidelity,
            with_images=not self.no_pictures,
            ignore_memory=self.ignore_memory,
            redo_noisy=redo_noisy,
            sweep=sweep,
            command=("sdrt", *sys.argv[1:]),
            **values,
        )


@dataclass(frozen=True)
class PeerOptions:
    """Which other tools to measure."""

    peers: str | None = option(
        "--peers", metavar="X,...|all", help="Other tools to measure in the same table."
    )
    peer_weights: Path | None = option(
        "--peer-weights",
        type=FILE,
        metavar="FOLDER",
        help="What the model was exported from, in diffusers' layout; random weights are known.",
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for weights without peers."""
        if self.peers is None and self.peer_weights is not None:
            raise UsageError("--peer-weights was given without --peers; name some")


@dataclass(frozen=True)
class OutputOptions:
    """What is written and shown."""

    resume: Path | None = option(
        "--resume", type=FILE, metavar="RECORD", help="Continue this record."
    )
    redo_noisy: bool = option(
        "--redo-noisy", is_flag=True, help="With --resume: measure noisy cells anew."
    )
    output: Path | None = option(
        "-o", "--output", type=FILE, metavar="FILE.json", help="The record."
    )
    html: Path | None = option("--html", type=FILE, metavar="FILE", help="Also a report.")
    csv: Path | None = option("--csv", type=FILE, metavar="FILE", help="Also as CSV.")
    schema: bool = option("--schema", is_flag=True, help="Print the record's JSON Schema.")
    quiet: bool = option("-q", "--quiet", is_flag=True, help="No progress and no table.")
    as_json: bool = option("--json", is_flag=True, help="Print the record.")

    def __post_init__(self) -> None:
        """Raise `UsageError` for an option without the one that it belongs to."""
        if self.redo_noisy and self.resume is None:
            raise UsageError("--redo-noisy goes with --resume RECORD")

    @property
    def is_silent(self) -> bool:
        """Whether there is neither progress nor a table."""
        return self.quiet or self.as_json


@dataclass(frozen=True)
class ComparisonOptions:
    """Two records to compare instead of measuring."""

    compare: tuple[Path, Path] | None = option(
        "--compare",
        nargs=2,
        type=FILE,
        metavar="OLD NEW",
        help="Measure nothing: did the second record get worse than the first?",
    )
    threshold: str = option(
        "--threshold",
        default="5%",
        show_default=True,
        metavar="SHARE",
        help="With --compare: how much slower is still good.",
    )
    other_machine: bool = option(
        "--other-machine", is_flag=True, help="With --compare: also of unlike machines."
    )


def read_list(name: str, text: str | None, read: Callable[[str], Value]) -> list[Value] | None:
    """Read values with commas between them, each once; raises `UsageError`."""
    if text is None:
        return None
    error = UsageError(f"--{name} is {text!r}; expected a list such as {EXAMPLES[name]}")
    try:
        values = [read(part.strip()) for part in text.split(",")]
    except ValueError as cause:
        raise error from cause
    if "" in values:
        raise error
    return list(dict.fromkeys(values))


def read_size(text: str) -> tuple[int, int]:
    """Read "512x768" or "512"; raises `ValueError`."""
    width, _, height = text.lower().partition("x")
    return int(width), int(height or width)
