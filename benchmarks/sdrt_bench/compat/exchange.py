"""Every exchange: who exported, who opens it besides sdrt, and how near the pictures are."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt.artifact import Artifact
from sdrt.errors import SdrtError
from sdrt.manifest import Format, Precision
from sdrt_bench.bench.peers.environments import Environment, prepare, recipes
from sdrt_bench.bench.peers.weights import Weights
from sdrt_bench.compat.models import DEMO, Stored, folder_of, for_genai, open_weights
from sdrt_bench.compat.painting import GENAI, OPTIMUM, Wish, paint_ours, paint_theirs
from sdrt_bench.similarity import Pixels, psnr_db

ENOUGH_DB = 50.0
"""In fp32, of pictures in 8 bits; narrower arithmetic differs by what the tools keep out of it."""
EXACT: Precision = "fp32"


@dataclass(frozen=True)
class Tool:
    """One that reads model folders."""

    name: str
    environment: str
    worker: str
    format: Format
    packages: Sequence[str]
    """Whose versions are told."""


TOOLS = (
    Tool("optimum-intel", "openvino", OPTIMUM, "openvino", ("optimum-intel", "openvino")),
    Tool("openvino-genai", "openvino", GENAI, "openvino", ("openvino-genai", "openvino")),
    Tool("optimum-onnx", "onnx", OPTIMUM, "onnx", ("optimum-onnx", "onnxruntime")),
)
OPTIMUM_EXPORTS: Sequence[tuple[Stored, Precision]] = (
    (Stored("optimum", "openvino", "fp32"), "fp32"),
    (Stored("optimum", "openvino", "fp16"), "bf16"),
    (Stored("optimum", "openvino", "int8"), "fp32"),
    (Stored("optimum", "onnx", "fp32"), "fp32"),
)
"""With the precision that is executed; int8 is of the weights alone there."""
OWN_EXPORTS: Sequence[tuple[Stored, Precision]] = (
    (Stored("sdrt", "openvino", "fp32"), "fp32"),
    (Stored("sdrt", "openvino", "bf16"), "bf16"),
    (Stored("sdrt", "openvino", "int8"), "int8"),
    (Stored("sdrt", "onnx", "fp32"), "fp32"),
    (Stored("sdrt", "onnx", "bf16"), "fp32"),
    (Stored("sdrt", "onnx", "int8"), "int8"),
)
TRAINED_ONLY = ("int8",)
"""Of our exports: ranges of random weights say nothing."""


@dataclass(frozen=True)
class Exchange:
    """One folder that two tools are to open."""

    model: str
    stored: Stored
    executed: Precision
    tool: Tool


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    exchange: Exchange
    psnr_db: float | None
    """Of the two pictures, in 8 bits; infinite for equal ones."""
    error: str = ""


def exchanges(models: Sequence[str]) -> Iterator[Exchange]:
    """All of them."""
    for model in models:
        for stored, executed in (*OPTIMUM_EXPORTS, *OWN_EXPORTS):
            if stored.exporter == "sdrt" and stored.precision in TRAINED_ONLY and model != DEMO:
                continue
            for tool in TOOLS:
                if tool.format == stored.format:
                    yield Exchange(model, stored, executed, tool)


@dataclass(frozen=True)
class Ready:
    """An exchange whose folder is there, and painted by sdrt."""

    exchange: Exchange
    wish: Wish
    artifact: Artifact
    picture: Pixels


def run(chosen: Sequence[Exchange], cache: Path, threads: int) -> Iterator[Outcome]:
    """Make what is missing of environments, weights and exports, and paint: tool after tool."""
    weights: dict[str, Weights] = {}
    for tool in TOOLS:
        ready: list[Ready] = []
        for one in (one for one in chosen if one.tool == tool):
            try:
                if one.model not in weights:
                    weights[one.model] = open_weights(one.model, cache)
                environment = prepare(recipes()[tool.environment], cache)
                ready.append(_prepared(one, weights[one.model], environment, threads))
            except SdrtError as error:
                yield Outcome(one, None, f"{type(error).__name__}: {error}")
        if ready:
            yield from _compared(ready, tool, environment)


def _prepared(one: Exchange, weights: Weights, environment: Environment, threads: int) -> Ready:
    folder = folder_of(weights, one.stored, environment)
    picture, artifact = paint_ours(Wish(folder, one.stored.format, one.executed, threads))
    if one.stored.exporter == "sdrt" and one.tool.worker == GENAI:
        folder = for_genai(folder, environment)
    return Ready(one, Wish(folder, one.stored.format, one.executed, threads), artifact, picture)


def _compared(ready: Sequence[Ready], tool: Tool, environment: Environment) -> Iterator[Outcome]:
    wishes = [(one.wish, one.artifact) for one in ready]
    with tempfile.TemporaryDirectory(prefix="sdrt-compat-") as work:
        painted = paint_theirs(wishes, tool.worker, environment, Path(work))
    for one, theirs in zip(ready, painted, strict=True):
        if theirs.picture is None:
            yield Outcome(one.exchange, None, theirs.error)
        else:
            yield Outcome(one.exchange, psnr_db(one.picture, theirs.picture))
