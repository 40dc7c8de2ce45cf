"""Exchanges of model folders: the exporter, the tool that opens them, and both images."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt.artifact import Artifact
from sdrt.errors import SdrtError
from sdrt.manifest import Format, Precision
from sdrt_bench.bench.peers.environments import Environment, environment_specs, prepare
from sdrt_bench.bench.peers.weights import Weights
from sdrt_bench.compat.models import DEMO, Export, folder_of, for_genai, open_weights
from sdrt_bench.compat.painting import (
    GENAI,
    OPTIMUM,
    ImageRequest,
    paint_with_sdrt,
    paint_with_tool,
)
from sdrt_bench.similarity import Pixels, psnr_db

ENOUGH_DB = 50.0
"""8-bit images in fp32 have at least this PSNR; tools differ in what they compute in less."""
EXACT: Precision = "fp32"


@dataclass(frozen=True)
class Tool:
    """A tool that reads model folders."""

    name: str
    environment: str
    worker: str
    format: Format
    packages: Sequence[str]
    """The record has the versions of these."""


TOOLS = (
    Tool("optimum-intel", "openvino", OPTIMUM, "openvino", ("optimum-intel", "openvino")),
    Tool("openvino-genai", "openvino", GENAI, "openvino", ("openvino-genai", "openvino")),
    Tool("optimum-onnx", "onnx", OPTIMUM, "onnx", ("optimum-onnx", "onnxruntime")),
)
OPTIMUM_EXPORTS: Sequence[tuple[Export, Precision]] = (
    (Export("optimum", "openvino", "fp32"), "fp32"),
    (Export("optimum", "openvino", "fp16"), "bf16"),
    (Export("optimum", "openvino", "int8"), "fp32"),
    (Export("optimum", "onnx", "fp32"), "fp32"),
)
"""Each has the precision that is executed; int8 is that of the weights alone."""
OWN_EXPORTS: Sequence[tuple[Export, Precision]] = (
    (Export("sdrt", "openvino", "fp32"), "fp32"),
    (Export("sdrt", "openvino", "bf16"), "bf16"),
    (Export("sdrt", "openvino", "int8"), "int8"),
    (Export("sdrt", "onnx", "fp32"), "fp32"),
    (Export("sdrt", "onnx", "bf16"), "fp32"),
    (Export("sdrt", "onnx", "int8"), "int8"),
)
TRAINED_ONLY = ("int8",)
"""sdrt exports these of trained weights only: ranges of random ones mean nothing."""


@dataclass(frozen=True)
class Exchange:
    """One folder that sdrt and another tool open."""

    model: str
    stored: Export
    executed: Precision
    tool: Tool


@dataclass(frozen=True)
class Outcome:
    """The result of an exchange."""

    exchange: Exchange
    psnr_db: float | None
    """The 8-bit images have this PSNR; infinite for equal ones."""
    error: str = ""


def exchanges(models: Sequence[str]) -> Iterator[Exchange]:
    """Give all exchanges of some models."""
    for model in models:
        for stored, executed in (*OPTIMUM_EXPORTS, *OWN_EXPORTS):
            if stored.exporter == "sdrt" and stored.precision in TRAINED_ONLY and model != DEMO:
                continue
            for tool in TOOLS:
                if tool.format == stored.format:
                    yield Exchange(model, stored, executed, tool)


@dataclass(frozen=True)
class PreparedExchange:
    """An exchange whose folder exists, with sdrt's image."""

    exchange: Exchange
    request: ImageRequest
    artifact: Artifact
    picture: Pixels


def run(chosen: Sequence[Exchange], cache: Path, threads: int) -> Iterator[Outcome]:
    """Make missing environments, weights and exports, and paint, tool after tool."""
    weights: dict[str, Weights] = {}
    for tool in TOOLS:
        ready: list[PreparedExchange] = []
        for exchange in (exchange for exchange in chosen if exchange.tool == tool):
            try:
                if exchange.model not in weights:
                    weights[exchange.model] = open_weights(exchange.model, cache)
                environment = prepare(environment_specs()[tool.environment], cache)
                ready.append(_prepare(exchange, weights[exchange.model], environment, threads))
            except SdrtError as error:
                yield Outcome(exchange, None, f"{type(error).__name__}: {error}")
        if ready:
            yield from _compare(ready, tool, environment)


def _prepare(
    exchange: Exchange, weights: Weights, environment: Environment, threads: int
) -> PreparedExchange:
    folder = folder_of(weights, exchange.stored, environment)
    picture, artifact = paint_with_sdrt(
        ImageRequest(folder, exchange.stored.format, exchange.executed, threads)
    )
    if exchange.stored.exporter == "sdrt" and exchange.tool.worker == GENAI:
        folder = for_genai(folder, environment)
    return PreparedExchange(
        exchange,
        ImageRequest(folder, exchange.stored.format, exchange.executed, threads),
        artifact,
        picture,
    )


def _compare(
    ready: Sequence[PreparedExchange], tool: Tool, environment: Environment
) -> Iterator[Outcome]:
    requests = [(prepared.request, prepared.artifact) for prepared in ready]
    with tempfile.TemporaryDirectory(prefix="sdrt-compat-") as work:
        painted = paint_with_tool(requests, tool.worker, environment, Path(work))
    for prepared, theirs in zip(ready, painted, strict=True):
        if theirs.picture is None:
            yield Outcome(prepared.exchange, None, theirs.error)
        else:
            yield Outcome(prepared.exchange, psnr_db(prepared.picture, theirs.picture))
