"""Runs are made to fit into memory, or refused with what would make them fit."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sdrt import machine
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.cli.main import cli
from sdrt.errors import OutOfMemoryError, UnsupportedError, UsageError
from sdrt.manifest import TINY_DECODER
from sdrt.memory import budget
from sdrt.memory.budget import Budget, read_bytes
from sdrt.pipeline import Pipeline
from tests.runtime.cli.command_line import run
from tests.runtime.fakes import pretend_demo
from tests.runtime.memory.test_estimate import GB, engine, plan, sd15
from tests.runtime.networks.test_fp32_fallback import SMALL


@pytest.fixture
def openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with OpenVINO and bf16, whatever this one is."""

    def opened(name: str, device: None, threads: int, precision: Any = None) -> FakeBackend:
        return engine(name, precision or "fp32")

    monkeypatch.setattr(budget, "open_backend", opened)
    monkeypatch.setattr(budget, "usable_backends", lambda: ["openvino"])


def available(monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (64 * GB, int(gigabytes * GB)))


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize(
    ("name", "changes", "gigabytes", "flags"),
    [
        ("onnxruntime", {"images": 8}, 5.4, "--batch-count 1"),
        ("onnxruntime", {"width": 768, "height": 768}, 4.2, "--guidance-split"),
        ("onnxruntime", {"width": 768, "height": 768}, 4.0, "--backend openvino"),
        ("onnxruntime", {"is_doubled": False}, 3.0, "--backend openvino --precision bf16"),
        ("onnxruntime", {"is_doubled": False}, 3.9, "--backend openvino"),
        ("openvino", {"is_doubled": False}, 3.0, "--precision bf16"),
        ("openvino", {"images": 16}, 3.0, "--precision bf16"),
        (
            "openvino",
            {"width": 2048, "height": 1024, "images": 2},
            3.0,
            "--batch-count 1 --guidance-split --vae-tiling --precision bf16",
        ),
    ],
)
def test_the_cheapest_change_that_would_fit_is_named(
    demo: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changes: dict[str, Any],
    gigabytes: float,
    flags: str,
) -> None:
    available(monkeypatch, gigabytes)
    artifact = sd15(demo, "fp32")
    with pytest.raises(OutOfMemoryError) as caught:
        Budget().check(plan(artifact, name, "fp32", keep=frozenset(), **changes))
    message = str(caught.value)
    match = re.fullmatch(
        r"the run needs about (.*) GB of memory while \w+ runs, and (.*) GB are available; "
        r"it would fit with (.*) \(about (.*) GB\)\. Estimates .*--ignore-memory.*",
        message,
    )
    assert match, message
    needed, there, offered, less = match.groups()
    assert offered == flags
    assert float(needed) > float(there) == gigabytes >= float(less)


def with_tiny_decoder(artifact: Artifact) -> Artifact:
    """It has a tenth of the weights."""
    manifest = artifact.manifest
    graph = manifest.graphs["vae_decoder"].model_copy(update={"files": {"onnx": ("tiny/w",)}})
    record = manifest.files["vae_decoder/w"]
    files = {**manifest.files, "tiny/w": record.model_copy(update={"size": record.size // 10})}
    graphs = {**manifest.graphs, TINY_DECODER: graph}
    update = {"graphs": graphs, "files": files}
    return replace(artifact, manifest=manifest.model_copy(update=update))


def test_previews_are_what_is_given_up_first(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch, 64.0)
    artifact = sd15(demo, "fp32")
    silent = plan(artifact, "openvino", "fp32", keep=frozenset({"vae_decoder"}))
    most = silent.peak()[1]
    limited = Budget(most + GB // 4, respects_machine=False)
    shown = replace(silent, previews="vae_decoder")
    with pytest.raises(OutOfMemoryError) as caught:
        limited.check(shown)
    message = str(caught.value)
    assert "runs (previews need the U-Net and vae_decoder at once), and --max-memory" in message
    assert "it would fit with --preview proj (about " in message
    limited.check(replace(shown, previews=None))
    latent = artifact.manifest.latent.model_copy(update={"preview": None})
    unmapped = artifact.manifest.model_copy(update={"latent": latent})
    with pytest.raises(OutOfMemoryError, match=r"it would fit with no --preview \(about "):
        limited.check(replace(shown, artifact=replace(artifact, manifest=unmapped)))
    tiny = replace(shown, artifact=with_tiny_decoder(artifact))
    smaller = replace(tiny, previews=TINY_DECODER).peak()[1]
    with pytest.raises(OutOfMemoryError, match="it would fit with --preview tae "):
        Budget(smaller, respects_machine=False).check(tiny)


@pytest.mark.usefixtures("openvino")
def test_if_nothing_helps_that_is_said(demo: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, 0.5)
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed makes it fit"):
        Budget().check(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))


def test_no_engine_is_offered_that_this_machine_does_not_have(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> FakeBackend:
        raise UnsupportedError("no bf16 here")

    monkeypatch.setattr(budget, "open_backend", refuse)
    available(monkeypatch, 3.0)
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed"):
        Budget().check(plan(sd15(demo, "fp32"), "openvino", "fp32"))
    monkeypatch.setattr(budget, "usable_backends", lambda: ["onnxruntime"])
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed"):
        Budget().check(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))


def test_what_fits_or_is_not_known_passes(demo: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, 8.0)
    Budget().check(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))
    available(monkeypatch, 0.0)  # a system that does not tell
    Budget().check(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))
    available(monkeypatch, 0.1)
    unknown = plan(sd15(demo, "fp32"), "tensorrt", "fp32")
    Budget().check(unknown)
    assert Budget().holds(unknown)


def test_a_run_that_does_not_fit_loads_nothing(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch, 0.05)
    backend = engine("onnxruntime", "fp32")
    with pytest.raises(OutOfMemoryError, match="0.05 GB are available"):
        Pipeline(demo, backend)("a boat", **SMALL)
    assert backend.opened == []
    assert Pipeline(demo, backend, check_memory=False)("a boat", **SMALL).images


@pytest.mark.slow
def test_the_command_line_can_try_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch, 0.05)
    command = ["generate", "a cat", "--steps", "1", "-o", str(tmp_path / "cat.png")]
    refused = CliRunner().invoke(cli, command)
    assert isinstance(refused.exception, OutOfMemoryError)
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(cli, [*command, "--ignore-memory"]).exit_code == 0
    assert (tmp_path / "cat.png").exists()


RELEASED, SPLIT, TILED = (
    "networks are released after use",
    "guidance is split",
    "the VAE works in tiles",
)


@pytest.mark.parametrize(
    ("name", "side", "gigabytes", "ways"),
    [
        ("onnxruntime", 512, 5.0, []),
        ("onnxruntime", 512, 4.5, [RELEASED]),
        ("onnxruntime", 1024, 4.4, [RELEASED, SPLIT]),
        ("openvino", 2048, 8.0, [TILED]),
        ("openvino", 2048, 6.0, [RELEASED, TILED]),
        ("openvino", 2048, 4.8, [RELEASED, SPLIT, TILED]),
    ],
)
def test_a_limit_is_kept_with_as_little_as_will_do(
    demo: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    side: int,
    gigabytes: float,
    ways: list[str],
) -> None:
    available(monkeypatch, 64.0)
    limited = Budget(int(gigabytes * GB), respects_machine=False)
    wished = plan(sd15(demo, "fp32"), name, "fp32", is_guided=True, width=side, height=side)
    made = limited.fit(wished, may_tile=True)
    limited.check(made)
    forecast = limited.forecast(made)
    assert forecast
    assert forecast.ways == ways
    assert forecast.predicted_bytes <= forecast.limit_bytes == int(gigabytes * GB)


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize(
    ("before", "gigabytes", "remedy"),
    [
        (0.1, 3.0, "it would fit with --precision bf16 (about "),
        (2.0, 3.0, "nothing that could be changed makes it fit"),
    ],
)
def test_what_cannot_keep_to_a_limit_is_refused_with_what_would_fit(
    demo: Artifact, before: float, gigabytes: float, remedy: str
) -> None:
    """What the process has already counts too."""
    limited = Budget(int(gigabytes * GB), respects_machine=False)
    wished = plan(sd15(demo, "fp32"), "openvino", "fp32", is_guided=True, before=int(before * GB))
    with pytest.raises(OutOfMemoryError) as caught:
        limited.check(limited.fit(wished, may_tile=True))
    message = str(caught.value)
    assert "--max-memory (in Python: max_memory) allows 3.0 GB" in message
    assert f"planned already: {RELEASED}, {SPLIT}; " in message
    assert remedy in message
    assert message.endswith("or raise the limit to what the run needs")


def test_a_limit_needs_an_engine_whose_memory_is_known(demo: Artifact) -> None:
    with pytest.raises(UnsupportedError, match="known for the CPU only"):
        Budget(GB).fit(plan(sd15(demo, "fp32"), "tensorrt", "fp32"), may_tile=True)


def test_under_a_limit_the_run_is_made_as_planned(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One side of guidance at a time, and one network."""
    several: dict[str, Any] = {**SMALL, "width": 512, "height": 512, "num_images_per_prompt": 8}
    monkeypatch.setattr(machine, "resident_bytes", lambda: 100_000_000)
    ran: list[tuple[str, frozenset[str]]] = []
    rows: set[int] = set()

    def see(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        ran.append((name, frozenset(pipe.loaded)))
        if name == "unet":
            rows.add(len(feeds["sample"]))
        return pretend_demo(name, feeds)

    backend = FakeBackend(see, name="onnxruntime", precision="fp32")
    free = Pipeline(demo, backend).start("a boat", **several).plan
    tight = replace(free, keep=frozenset(), is_doubled=False, gives_back=True)
    pipe = Pipeline(demo, backend, max_memory=100_000_000 + tight.peak()[1])
    pipe("a boat", **several)
    assert all(loaded == {name} for name, loaded in ran)
    assert rows == {8}
    assert pipe.loaded == set()


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * 10**9), ("512M", 512 * 10**6), ("1.5 GiB", 3 * 2**29), ("8gb", 8 * GB)],
)
def test_sizes_are_written_as_people_write_them(text: str, size: int) -> None:
    assert read_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-4G", "4X", "0", "1e9G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected for example 4G"):
        read_bytes(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("onnxruntime", ["--size", "256x256"]),
        ("openvino", ["--size", "256x256", "--max-memory", "345M"]),
        ("openvino", ["--size", "576x512", "--cfg-scale", "1", "--vae-tiling"]),
        ("openvino", ["--size", "256x256", "--preview", "vae"]),
    ],
    ids=["small", "limited", "tiled", "previews"],
)
def test_predictions_are_near_to_the_peak_of_a_fresh_process(
    tmp_path: Path, backend: str, options: list[str]
) -> None:
    command = ["generate", "a boat", "--json", "--steps", 1, "--backend", backend]
    command += ["--precision", "fp32", "--max-memory", "2G", *options]
    memory = json.loads(run(*command, cwd=tmp_path).stdout)["memory"]
    assert memory["predicted_bytes"] == pytest.approx(memory["peak_bytes"], rel=0.2)


def test_the_command_line_says_what_it_chose_or_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "resident_bytes", lambda: 100_000_000)
    command = ["generate", "a cat", "--steps", "1", "-o", str(tmp_path / "cat.png")]
    command += ["--backend", "onnxruntime", "--max-memory"]
    refused = CliRunner().invoke(cli, [*command, "150M"])
    assert isinstance(refused.exception, OutOfMemoryError)
    assert refused.exception.exit_code == 7
    assert list(tmp_path.iterdir()) == []
    made = CliRunner().invoke(cli, [*command, "1G"])
    assert made.exit_code == 0
    assert "of the 1.0 GB allowed: networks are released after use" in made.output
