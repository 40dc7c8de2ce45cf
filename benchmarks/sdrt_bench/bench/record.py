"""The record of a benchmark: one JSON file with everything that was measured, raw samples included.

Its top level is that of pytest-benchmark (`machine_info`, `commit_info`, `benchmarks`, `datetime`,
`version`, and in each benchmark `name`, `group`, `params`, `stats`), so that tools which compare
such files read ours. `sdrt bench --schema` prints its JSON Schema. Schema 1 is read, too.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sdrt.errors import UsageError
from sdrt.manifest import Model, explain_validation_error

SCHEMA: Literal[2] = 2

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]


class Params(Model):
    """The parameters of one cell of the table, as requested."""

    model: str
    """This is the name of the artifact or geometry: "sd15", "demo"."""
    tool: str = "sdrt"
    """It is "sdrt", or a peer: "diffusers", "optimum-intel", "openvino-genai", ..."""
    backend: str
    """This is the engine: "onnxruntime", "openvino", "torch", "ggml"."""
    precision: str
    """It is requested as "fp32", "bf16", "int8", or by a peer's own name, such as "f16"."""
    settings: Literal["ours", "default", "best"] = "ours"
    """A peer runs with its default settings, or with the best ones that its documentation names."""
    width: int
    height: int
    batch: int = 1
    """So many images are made at once."""
    guidance: bool = True
    """Whether each step evaluates the U-Net with and without the prompt."""
    guidance_scale: float = 7.5
    steps: int = 20
    sampler: str = "ddim"
    threads: int
    seed: int = 0
    prompt: str = ""


class Precision(Model):
    """The precision that was requested, the one of the weights on disk, and the one executed."""

    requested: str
    stored: str
    executed: str
    """Most multiply-adds of the U-Net ran in it; "unknown" where a peer does not report it."""
    shares: dict[str, Share] = {}
    """These are the shares of the U-Net's multiply-adds by the precision that they ran in."""
    layer_shares: dict[str, Share] = {}
    """These are the same shares of convolutions and linear layers alone, without attention."""
    isa: str = "unknown"
    isa_from: str = "processor"
    evidence: str = ""
    """It was read from here: "runtime model", "profile", "parameters' dtype"."""


class SystemLoad(Model):
    """What else the machine did during a round; None where the system does not report it."""

    steal_share: Share | None = None
    """The hypervisor gave this share of the processors' time to others."""
    other_processes_share: Share | None = None
    """Other processes of this system took this share of the processors' time."""
    mhz_before: float | None = None
    mhz_after: float | None = None


class Round(Model):
    """One process that ran one cell once: nothing in it is averaged."""

    load_s: dict[str, Seconds] = {}
    """Reading and compiling took so long, by network; a peer has "pipeline" alone."""
    first_step_end_s: Seconds | None = None
    """The first step ended so long after the start of loading."""
    text_encoder_s: Seconds | None = None
    warmup_step_s: tuple[Seconds, ...] = ()
    """These steps were run before those that count."""
    step_s: tuple[Seconds, ...] = ()
    """Each step took so long, sampler included; statistics leave the first one out."""
    sampler_s: Seconds | None = None
    """All steps together spent so long outside the U-Net."""
    vae_decoder_s: Seconds | None = None
    image_s: Seconds | None = None
    """An image takes so long with everything loaded; extrapolated where `steps_run` < steps."""
    steps_run: int | None = None
    peak_rss: Bytes | None = None
    steady_rss: Bytes | None = None
    """So much was resident after the last step, before the decoder was loaded."""
    peak_pss: Bytes | None = None
    """This is the largest of the samples after loading, after each step and at the end."""
    system_load: SystemLoad = SystemLoad()


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
    """This is the median of the absolute deviations from the median."""
    ops: float
    """These are the steps per second at the mean time of a step."""


class Compute(Model):
    """How many operations a step has, counted from the graph, and how fast they were done."""

    gflop_per_step: float
    """Each multiply-add of convolutions, matrix products and attention counts as two."""
    gflop_attention: float = 0.0
    achieved_gflops: float | None = None
    peak_gflops: float | None = None
    """Single layers reached this in the executed precision; of a mix it is the harmonic mean."""
    share_of_peak: float | None = None


class CellFidelity(Model):
    """How far a cell is from its reference at the same noise; None where both are equal."""

    reference: str
    """This is the name of the cell that it is compared with."""
    latent_psnr_db: tuple[float | None, ...] = ()
    """Latents after each step have this PSNR."""
    image_psnr_db: float | None = None
    image_ssim: float | None = None
    sqnr_db: dict[str, float | None] = {}
    """The outputs of each network have this ratio of signal to error."""
    prompts: int = 0
    attribute_accuracy: Share | None = None
    """The embedded model paints this share of the attributes as the prompts say."""
    prompt_accuracy: Share | None = None
    """It paints all attributes of this share of the prompts."""


class Cell(Model):
    """One row of the table."""

    name: str
    group: str
    params: Params
    status: Literal["ok", "failed", "skipped"] = "ok"
    error: str | None = None
    """One sentence says why a cell failed or was skipped."""
    error_kind: str | None = None
    """This is the name of the error's class, such as "UnsupportedError", if it is one of sdrt's."""
    options: dict[str, Any] = {}
    versions: dict[str, str] = {}
    precision: Precision | None = None
    artifact_bytes: Bytes | None = None
    rounds: tuple[Round, ...] = ()
    stats: Stats | None = None
    images_per_hour: float | None = None
    compute: Compute | None = None
    fidelity: CellFidelity | None = None
    timing_warnings: tuple[str, ...] = ()
    """Each sentence says why this cell's times cannot be trusted."""
    image: str | None = None
    """The first image is a PNG file in base64."""


class Peak(Model):
    """One measurement of the roofline: an engine on one large layer."""

    backend: str
    precision: str
    executed: str
    kind: Literal["gemm", "conv"]
    gflops: float
    threads: int | None = None


class ScalingFit(Model):
    """A line through a sweep: seconds = constant + slope * x."""

    axis: Literal["size", "batch", "threads", "steps"]
    cells: tuple[str, ...]
    x: tuple[float, ...]
    """These are pixels, images, threads or steps."""
    y: tuple[Seconds, ...]
    y_label: str
    exponent: float | None = None
    """It is that of y ~ x**exponent; -1 would be perfect for threads."""
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

    schema_version: Literal[2] = Field(default=SCHEMA, alias="schema")
    version: str
    """This is the version of sdrt."""
    datetime: str
    command: tuple[str, ...] = ()
    machine_info: MachineInfo
    commit_info: CommitInfo = CommitInfo()
    benchmarks: tuple[Cell, ...] = ()
    scaling: tuple[ScalingFit, ...] = ()

    def to_json(self) -> str:
        """Give the text of the file."""
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
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema not in (1, SCHEMA):
        raise UsageError(
            f"{path} has schema {schema!r}, this sdrt reads schemas 1 and {SCHEMA} of records; "
            "measure again, or compare with the release that wrote it"
        )
    try:
        if schema == 1:
            data = {**_from_schema_1(data), "schema": SCHEMA}
        return Record.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain_validation_error(error)}; measure again") from error


# Keys of schema 1 and their names in schema 2, by the place of the object that has them.
RENAMED = {
    "": {"growth": "scaling"},
    ".benchmarks": {"work": "compute", "noisy": "timing_warnings", "picture": "image"},
    ".benchmarks.rounds": {"noise": "system_load"},
    ".benchmarks.rounds.noise": {"other_share": "other_processes_share"},
    ".benchmarks.fidelity": {
        "attributes_right": "attribute_accuracy",
        "prompts_right": "prompt_accuracy",
    },
    ".growth": {"over": "axis"},
}


def _from_schema_1(value: Any, place: str = "") -> Any:
    """The same values under the keys of schema 2."""
    if isinstance(value, list):
        return [_from_schema_1(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    names = RENAMED.get(place, {})
    return {
        names.get(key, key): _from_schema_1(child, f"{place}.{key}") for key, child in value.items()
    }
