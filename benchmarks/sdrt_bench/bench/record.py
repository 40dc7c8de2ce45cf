"""The record of a benchmark: one JSON file with everything that was measured, raw samples included.

Its top level is that of pytest-benchmark (`machine_info`, `commit_info`, `benchmarks`, `datetime`,
`version`, and in each benchmark `name`, `group`, `params`, `stats`), so that tools which compare
such files read ours. `sdrt bench --schema` prints its JSON Schema.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sdrt.errors import UsageError
from sdrt.manifest import Model, explain_validation_error

SCHEMA: Literal[1] = 1

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]


class Params(Model):
    """What makes one cell of the table: everything that was asked for."""

    model: str
    """Name of the artifact or geometry: "sd15", "demo"."""
    tool: str = "sdrt"
    """ "sdrt", or a peer: "diffusers", "optimum-intel", "openvino-genai", ..."""
    backend: str
    """Engine: "onnxruntime", "openvino", "torch", "ggml"."""
    precision: str
    """Asked to be executed: "fp32", "bf16", "int8"; of a peer also its own word, such as "f16"."""
    settings: Literal["ours", "default", "best"] = "ours"
    """Of a peer: as it comes, or tuned as its documentation says."""
    width: int
    height: int
    batch: int = 1
    """Pictures at once."""
    guidance: bool = True
    """Whether each step evaluates the U-Net with and without the prompt."""
    guidance_scale: float = 7.5
    steps: int = 20
    sampler: str = "ddim"
    threads: int
    seed: int = 0
    prompt: str = ""


class Precision(Model):
    """Three facts that are not the same."""

    requested: str
    stored: str
    executed: str
    """What most multiply-adds of the U-Net ran in; "unknown" where a peer does not tell."""
    shares: dict[str, Share] = {}
    """Of the U-Net's multiply-adds, by the precision that they ran in."""
    layer_shares: dict[str, Share] = {}
    """The same of convolutions and linear layers alone, without attention."""
    isa: str = "unknown"
    isa_from: str = "processor"
    evidence: str = ""
    """Where it was read: "runtime model", "profile", "parameters' dtype"."""


class Noise(Model):
    """How quiet the machine was during a round; None where the system does not tell."""

    steal_share: Share | None = None
    """Of the processors' time, what the hypervisor gave to others."""
    other_share: Share | None = None
    """Of the processors' time, what other processes here took."""
    mhz_before: float | None = None
    mhz_after: float | None = None


class Round(Model):
    """One process that ran one cell once: nothing in it is averaged."""

    load_s: dict[str, Seconds] = {}
    """Reading and compiling by network; of a peer "pipeline"."""
    first_step_end_s: Seconds | None = None
    """From the start of loading to the end of the first step: the time until something moves."""
    text_encoder_s: Seconds | None = None
    warmup_step_s: tuple[Seconds, ...] = ()
    """Steps that were run before those that count."""
    step_s: tuple[Seconds, ...] = ()
    """Each step, sampler included, in order; the first is apart in all statistics."""
    sampler_s: Seconds | None = None
    """Of all steps together, what was spent outside the U-Net."""
    vae_decoder_s: Seconds | None = None
    image_s: Seconds | None = None
    """Prompt to pixels with everything loaded; extrapolated where `steps_run` < steps."""
    steps_run: int | None = None
    peak_rss: Bytes | None = None
    steady_rss: Bytes | None = None
    """Resident after the last step, before the decoder was loaded."""
    peak_pss: Bytes | None = None
    """Largest of the samples taken after loading, after each step and at the end."""
    noise: Noise = Noise()


class Stats(Model):
    """pytest-benchmark's figures, of all rounds' steps but each round's first; seconds."""

    data: tuple[Seconds, ...]
    rounds: int
    iterations: int = 1
    min: Seconds
    max: Seconds
    mean: Seconds
    stddev: Seconds
    median: Seconds
    p10: Seconds
    p90: Seconds
    mad: Seconds
    """Median of the absolute deviations from the median."""
    ops: float
    """Steps per second, of the mean."""


class Work(Model):
    """How much one step computes, counted from the graph, and how fast it went."""

    gflop_per_step: float
    """Two for each multiply-add of convolutions, matrix products and attention."""
    gflop_attention: float = 0.0
    achieved_gflops: float | None = None
    peak_gflops: float | None = None
    """What this machine's probe reached in the executed precision; of mixed work the harmonic mean
    by shares."""
    share_of_peak: float | None = None


class Fidelity(Model):
    """How far a cell is from its reference at the same noise; None where pictures are equal."""

    reference: str
    """Name of the cell that it is compared with."""
    latent_psnr_db: tuple[float | None, ...] = ()
    """After each step."""
    image_psnr_db: float | None = None
    image_ssim: float | None = None
    sqnr_db: dict[str, float | None] = {}
    """Signal to error of each network."""
    prompts: int = 0
    attributes_right: Share | None = None
    """Of the embedded model: attributes painted as the prompts say."""
    prompts_right: Share | None = None


class Cell(Model):
    """One row of the table."""

    name: str
    group: str
    params: Params
    status: Literal["ok", "failed", "skipped"] = "ok"
    error: str | None = None
    """Of a failed or skipped cell, in one sentence."""
    error_kind: str | None = None
    """Class of that error: "UnsupportedError"; where it is one of sdrt's."""
    options: dict[str, Any] = {}
    versions: dict[str, str] = {}
    precision: Precision | None = None
    artifact_bytes: Bytes | None = None
    rounds: tuple[Round, ...] = ()
    stats: Stats | None = None
    images_per_hour: float | None = None
    work: Work | None = None
    fidelity: Fidelity | None = None
    noisy: tuple[str, ...] = ()
    """Why this cell's times are not to be trusted; empty where they are."""
    picture: str | None = None
    """PNG in base64."""


class Peak(Model):
    """One measurement of the roofline: an engine on one large layer."""

    backend: str
    precision: str
    executed: str
    kind: Literal["gemm", "conv"]
    gflops: float
    threads: int | None = None


class Growth(Model):
    """A line through a sweep: seconds = constant + slope * x."""

    over: Literal["size", "batch", "threads", "steps"]
    cells: tuple[str, ...]
    x: tuple[float, ...]
    """Pixels, images, threads or steps."""
    y: tuple[Seconds, ...]
    y_label: str
    exponent: float | None = None
    """Of y ~ x**exponent; of threads -1 would be perfect."""
    constant: float
    slope: float
    r_squared: float


class MachineInfo(Model):
    """Where it was measured."""

    node: str = ""
    processor: str
    instruction_sets: tuple[str, ...]
    cores: int
    memory_bytes: Bytes
    system: str
    python: str
    governor: str | None = None
    versions: dict[str, str] = {}
    peaks: tuple[Peak, ...] = ()


class CommitInfo(Model):
    """Which sources were measured; "unknown" outside a checkout."""

    id: str = "unknown"
    dirty: bool = False


class Record(Model):
    """Everything that one `sdrt bench` measured."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    version: str
    """Of sdrt."""
    datetime: str
    command: tuple[str, ...] = ()
    machine_info: MachineInfo
    commit_info: CommitInfo = CommitInfo()
    benchmarks: tuple[Cell, ...] = ()
    growth: tuple[Growth, ...] = ()

    def to_json(self) -> str:
        """Text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read_record(path: Path) -> Record:
    """Read a record; raises `UsageError` that names what is wrong with the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid JSON ({error}); expected a record that sdrt bench wrote"
        ) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise UsageError(
            f"{path} has schema {found!r}, this sdrt reads schema {SCHEMA} of records; "
            "measure again, or compare with the release that wrote it"
        )
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain_validation_error(error)}; measure again") from error
