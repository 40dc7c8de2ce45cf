"""What a run will need is told before it begins, with what would make it fit."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sdrt import machine, memory
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.cli import cli
from sdrt.errors import OutOfMemoryError, UnsupportedError
from sdrt.manifest import FileRecord, Precision
from sdrt.memory import Plan, check_memory
from sdrt.pipeline import Pipeline
from tests.runtime.test_guard import SMALL, compute

GB = 10**9
# Parameters of Stable Diffusion 1.5.
WEIGHTS = {"text_encoder": 123_060_480, "unet": 859_520_964, "vae_decoder": 49_490_199}
PROCESS = 0.1 * GB  # Python and an engine, before anything is loaded


def sd15(demo: Artifact, stored: Precision) -> Artifact:
    """Its files' sizes in a folder that is not there."""
    width = {"fp32": 4, "bf16": 2, "int8": 1}[stored]
    record = FileRecord(size=0, sha256="0" * 64)
    files = {f"{n}/w": record.model_copy(update={"size": w * width}) for n, w in WEIGHTS.items()}
    graphs = {
        name: demo.manifest.graphs[name].model_copy(update={"files": {"onnx": (f"{name}/w",)}})
        for name in WEIGHTS
    }
    changes = {"files": files, "graphs": graphs, "precision": stored}
    return Artifact(Path("nowhere"), demo.manifest.model_copy(update=changes))


def engine(name: str, precision: Precision) -> FakeBackend:
    return FakeBackend(compute, name=name, precision=precision)


def plan(artifact: Artifact, name: str, precision: Precision, **changes: Any) -> Plan:
    backend = engine(name, precision)
    whole = Plan(artifact, backend, frozenset({"unet"}), frozenset(), 512, 512, 1, True)
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("name", "stored", "executed", "measured"),
    [
        ("openvino", "fp32", "fp32", 4.0),
        ("openvino", "bf16", "fp32", 3.9),
        ("openvino", "bf16", "bf16", 2.2),
        ("onnxruntime", "fp32", "fp32", 4.7),
        ("onnxruntime", "bf16", "fp32", 6.1),
    ],
)
def test_estimates_are_near_to_what_the_readme_reports(
    demo: Artifact, name: str, stored: Precision, executed: Precision, measured: float
) -> None:
    """A step of the U-Net alone, with guidance, measured as the peak of a process."""
    alone = sd15(demo, stored)
    graphs = {"unet": alone.manifest.graphs["unet"]}
    alone = replace(alone, manifest=alone.manifest.model_copy(update={"graphs": graphs}))
    network, needed = plan(alone, name, executed).peak()
    assert network == "unet"
    assert needed + PROCESS == pytest.approx(measured * GB, rel=0.15)


def test_what_stays_in_memory_counts_for_those_that_come_later(demo: Artifact) -> None:
    kept = plan(sd15(demo, "fp32"), "openvino", "fp32", width=768, height=768)
    dropped = replace(kept, keep=frozenset())
    assert kept.peak()[0] == "vae_decoder"
    assert dropped.peak()[0] == "unet"
    loaded = replace(kept, loaded=frozenset({"unet"}))
    assert kept.peak()[1] - loaded.peak()[1] > WEIGHTS["unet"] * 4


def test_weights_that_are_changed_are_there_once_more(demo: Artifact) -> None:
    whole = plan(sd15(demo, "bf16"), "onnxruntime", "fp32")
    more = replace(whole, changed={"unet": 100_000_000})
    assert more.peak()[1] - whole.peak()[1] == 200_000_000


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    "smaller", [{"is_doubled": False}, {"images": 1}, {"width": 256}, {"height": 448}]
)
def test_each_change_needs_less(demo: Artifact, name: str, smaller: dict[str, Any]) -> None:
    whole = plan(sd15(demo, "fp32"), name, "fp32", images=4)
    assert replace(whole, **smaller).peak()[1] < whole.peak()[1]


@pytest.fixture
def openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with OpenVINO and bf16, whatever this one is."""

    def opened(name: str, device: None, threads: int, precision: Any = None) -> FakeBackend:
        return engine(name, precision or "fp32")

    monkeypatch.setattr(memory, "open_backend", opened)
    monkeypatch.setattr(memory, "usable_backends", lambda: ["openvino"])


def available(monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (64 * GB, int(gigabytes * GB)))


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize(
    ("name", "changes", "gigabytes", "flags"),
    [
        ("onnxruntime", {"images": 2}, 5.4, "--batch-count 1"),
        ("onnxruntime", {}, 4.5, "--guidance-split"),
        ("onnxruntime", {"images": 2}, 4.5, "--backend openvino"),
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
        check_memory(plan(artifact, name, "fp32", keep=frozenset(), **changes))
    message = str(caught.value)
    found = re.fullmatch(
        r"the run needs about (.*) GB of memory while \w+ runs, and (.*) GB are available; "
        r"it would fit with (.*) \(about (.*) GB\)\. Estimates .*--ignore-memory.*",
        message,
    )
    assert found, message
    needed, there, offered, less = found.groups()
    assert offered == flags
    assert float(needed) > float(there) == gigabytes >= float(less)


@pytest.mark.usefixtures("openvino")
def test_if_nothing_helps_that_is_said(demo: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, 0.5)
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed makes it fit"):
        check_memory(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))


def test_no_engine_is_offered_that_this_machine_does_not_have(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> FakeBackend:
        raise UnsupportedError("no bf16 here")

    monkeypatch.setattr(memory, "open_backend", refuse)
    available(monkeypatch, 3.0)
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed"):
        check_memory(plan(sd15(demo, "fp32"), "openvino", "fp32"))
    monkeypatch.setattr(memory, "usable_backends", lambda: ["onnxruntime"])
    with pytest.raises(OutOfMemoryError, match="nothing that could be changed"):
        check_memory(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))


def test_what_fits_or_is_not_known_passes(demo: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, 8.0)
    check_memory(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))
    available(monkeypatch, 0.0)  # a system that does not tell
    check_memory(plan(sd15(demo, "fp32"), "onnxruntime", "fp32"))
    available(monkeypatch, 0.1)
    check_memory(plan(sd15(demo, "fp32"), "tensorrt", "fp32"))


def test_a_run_that_does_not_fit_loads_nothing(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch, 0.05)
    backend = engine("onnxruntime", "fp32")
    with pytest.raises(OutOfMemoryError, match="0.1 GB are available"):
        Pipeline(demo, backend)("a boat", **SMALL)
    assert backend.opened == []
    assert Pipeline(demo, backend, check_memory=False)("a boat", **SMALL).images


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


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"block_out_channels": "many"}', "{}"])
def test_an_odd_configuration_counts_as_that_of_sd15(
    demo: Artifact, tmp_path: Path, content: str
) -> None:
    for name in ("unet", "vae_decoder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    expected = plan(sd15(demo, "fp32"), "onnxruntime", "fp32").peak()
    odd = replace(sd15(demo, "fp32"), root=tmp_path)
    assert plan(odd, "onnxruntime", "fp32").peak() == expected


MEMINFO = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (16_384_000_000, 8_192_000_000)),
        ({"memory.max": "max", "memory.current": "9"}, (16_384_000_000, 8_192_000_000)),
        (
            {
                "memory.max": "4000000000",
                "memory.current": "3000000000",
                "memory.stat": "anon 1\ninactive_file 500000000",
            },
            (4_000_000_000, 1_500_000_000),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "4000000000",
                "memory/memory.usage_in_bytes": "5000000000",
            },
            (4_000_000_000, 0),
        ),
        (
            {"memory.max": "64000000000", "memory.current": "1"},
            (16_384_000_000, 8_192_000_000),
        ),
    ],
    ids=["none", "unlimited", "limited", "limited by version 1", "more than there is"],
)
def test_a_container_may_have_less_memory_than_its_machine(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: tuple[int, int]
) -> None:
    known = {"/proc/meminfo": MEMINFO}
    known |= {f"/sys/fs/cgroup/{name}": content for name, content in files.items()}
    monkeypatch.setattr(machine, "_read", lambda path: known.get(path, ""))
    assert machine.memory_bytes() == expected
