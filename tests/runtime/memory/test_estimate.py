"""What a run will need is told before it begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdrt import machine
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.manifest import FileRecord, Precision
from sdrt.memory.estimate import MemoryPlan
from tests.runtime.fakes import pretend_demo

GB = 10**9
# Parameters of Stable Diffusion 1.5.
WEIGHTS = {"text_encoder": 123_060_480, "unet": 859_520_964, "vae_decoder": 49_490_199}
WEIGHTS["vae_encoder"] = 34_163_664
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
    return FakeBackend(pretend_demo, name=name, precision=precision)


def plan(artifact: Artifact, name: str, precision: Precision, **changes: Any) -> MemoryPlan:
    backend = engine(name, precision)
    whole = MemoryPlan(artifact, backend, frozenset({"unet"}), frozenset(), 512, 512, 1, True)
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


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_decoder_that_shows_steps_is_there_beside_the_unet(demo: Artifact, name: str) -> None:
    shown = frozenset({"vae_decoder"})
    for keep in (frozenset[str](), shown):
        silent = plan(sd15(demo, "fp32"), name, "fp32", keep=keep, width=256, height=256)
        preview_plan = replace(silent, previews="vae_decoder")
        more = preview_plan.peak()[1] - silent.peak()[1]
        if keep or name == "openvino":  # which keeps the U-Net's buffers too
            assert more >= WEIGHTS["vae_decoder"] * 4
        assert more >= 0
    large = plan(sd15(demo, "fp32"), name, "fp32", keep=shown, width=768, height=768)
    network, needed = replace(large, previews="vae_decoder").peak()
    assert network == "vae_decoder"
    assert needed - large.peak()[1] > GB


@pytest.mark.parametrize(
    ("half", "name", "executed", "gives_back", "measured"),
    [
        # Of 512x512, of 768x768, and in tiles of 1152x768.
        ("vae_decoder", "openvino", "fp32", False, (1.06, 2.10, 1.85)),
        ("vae_decoder", "openvino", "bf16", False, (0.57, 1.14, 1.06)),
        ("vae_decoder", "onnxruntime", "fp32", False, (1.62, 3.06, 3.56)),
        ("vae_decoder", "onnxruntime", "fp32", True, (1.28, 2.63, 3.02)),
        ("vae_encoder", "openvino", "fp32", False, (0.59, 1.12, 1.20)),
        ("vae_encoder", "openvino", "bf16", False, (0.34, 0.64, 0.94)),
        ("vae_encoder", "onnxruntime", "fp32", True, (0.68, 1.36, 1.45)),
    ],
)
def test_estimates_are_near_to_peaks_of_the_autoencoder(
    demo: Artifact,
    half: str,
    name: str,
    executed: Precision,
    gives_back: bool,
    measured: tuple[float, ...],
) -> None:
    """Of Stable Diffusion 1.5 in bf16, with random weights: what a process had more at its peak."""
    alone = sd15(demo, "bf16")
    graphs = {half: alone.manifest.graphs[half]}
    artifact = replace(alone, manifest=alone.manifest.model_copy(update={"graphs": graphs}))
    sizes = ((512, 512, False), (768, 768, False), (1152, 768, True))
    for (width, height, is_tiled), peak in zip(sizes, measured, strict=True):
        whole = plan(artifact, name, executed, width=width, height=height, is_tiled=is_tiled)
        planned = replace(whole, has_image=half == "vae_encoder", gives_back=gives_back)
        assert planned.peak()[1] == pytest.approx(peak * GB, rel=0.3)


def test_weights_that_are_changed_are_there_once_more(demo: Artifact) -> None:
    whole = plan(sd15(demo, "bf16"), "onnxruntime", "fp32")
    more = replace(whole, changed={"unet": 100_000_000})
    assert more.peak()[1] - whole.peak()[1] == 200_000_000


def test_a_second_pass_needs_a_second_form_of_what_openvino_keeps(demo: Artifact) -> None:
    artifact = sd15(demo, "fp32")
    for name, weights in (("openvino", WEIGHTS["unet"] * 4), ("onnxruntime", 0)):
        single = plan(artifact, name, "fp32", width=768, height=768, has_image=True)
        double = replace(single, first=(512, 512))
        assert double.peak()[1] - single.peak()[1] >= weights
        released, twice = (
            replace(run_plan, keep=frozenset()).peak() for run_plan in (single, double)
        )
        assert released == twice


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    "smaller", [{"is_doubled": False}, {"images": 1}, {"width": 256}, {"height": 448}]
)
def test_each_change_needs_less(demo: Artifact, name: str, smaller: dict[str, Any]) -> None:
    whole = plan(sd15(demo, "fp32"), name, "fp32", images=8)
    assert replace(whole, **smaller).peak()[1] < whole.peak()[1]


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
    monkeypatch.setattr(machine, "system_text", lambda path: known.get(str(path), ""))
    assert machine.memory_bytes() == expected


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_reused_features_need_the_last_layers_beside_the_unet(demo: Artifact, name: str) -> None:
    """Less than a second U-Net."""
    whole = plan(demo, name, "fp32", width=1024, height=1024, decoder="none")
    reusing = replace(whole, reuses_features=True)
    assert whole.peak()[0] == reusing.peak()[0] == "unet"
    assert whole.peak()[1] < reusing.peak()[1] < 1.8 * whole.peak()[1]
