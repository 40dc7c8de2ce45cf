"""`sdrt-host check` on golden files of Python's: right ones, wrong ones, and none at all."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.conformance.recorder import NAMES, GoldenPlan, record
from sdrt.diagnostics.conformance.tolerance import STAGES
from sdrt.machine import has_bf16
from sdrt.pipeline import Pipeline
from tests.runtime.diagnostics.test_conformance import changed, edited, removed, replaced, with_case

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def check(sanitized_build: Path, clean_environment: Mapping[str, str], demo: Artifact) -> Check:
    def check(golden: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sanitized_build / "sdrt-host", "--check", golden, "-m", demo.root, *words],
            env=clean_environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return check


@pytest.fixture(scope="module")
def all_samplers(demo: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "all.safetensors"
    pipe = Pipeline(demo, open_backend("onnxruntime", precision="fp32"))
    record(pipe, path, GoldenPlan(NAMES, steps=3, size=(64, 64)))
    return path


@pytest.fixture(scope="module")
def golden(demo: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of few cases."""
    path = tmp_path_factory.mktemp("golden") / "golden.safetensors"
    pipe = Pipeline(demo, open_backend("onnxruntime", precision="fp32"))
    record(pipe, path, GoldenPlan(("euler_a",), steps=3, size=(64, 64)))
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_stage_passes_with_every_sampler(
    check: Check, all_samplers: Path, backend: str
) -> None:
    done = check(all_samplers, "--json", "--backend", backend)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["backend"], report["first_failure"]) == (backend, None)
    assert tuple(report["stages"]) == STAGES
    assert len(report["cases"]) == len(STAGES) * (len(NAMES) + 2)
    assert all(case["is_within"] for case in report["cases"])


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_bf16_has_limits_of_its_own(check: Check, golden: Path) -> None:
    done = check(golden, "--json", "--backend", "openvino", "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    limits = {case["stage"]: case["limit"] for case in json.loads(done.stdout)["cases"]}
    assert limits["unet"] < 60 <= limits["latents"]


@pytest.mark.parametrize(
    ("stage", "name", "by"),
    [
        ("ids", "ids", -3),
        ("weights", "weights", 0.1),
        ("embeddings", "negative_embeddings", 3),
        ("noise", "noise", 1e-6),
        ("sigmas", "timesteps", 0.1),
        ("unet", "unet/0/sample", 1),
        ("denoised", "denoised", 1),
        ("latents", "latents", 1),
        ("pixels", "pixels", 100),
    ],
)
def test_the_stage_that_was_tampered_with_is_named(
    check: Check, golden: Path, tmp_path: Path, stage: str, name: str, by: float
) -> None:
    tampered = edited(golden, changed(name, by), tmp_path / "tampered")
    done = check(tampered, "--backend", "onnxruntime")
    assert done.returncode == 4
    assert f"the first stage that fails is {stage}, in the case 'euler_a'" in done.stderr
    lines = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[1:]}
    assert tuple(lines) == STAGES
    assert lines[stage] == "FAILS"
    assert all(lines[earlier_stage] == "ok" for earlier_stage in STAGES[: STAGES.index(stage)])


@pytest.mark.parametrize(
    "edit",
    [
        removed("latents"),
        removed("unet/0/timestep"),
        replaced("noise", np.zeros((3, 4, 9, 8), np.float32)),
        replaced("noise", np.zeros((0, 4, 8, 8), np.float32)),
        replaced("ids", np.zeros((1, 77), np.float32)),
        replaced("ids", np.full((1, 77), 2**60)),
        replaced("ids", np.full((1, 77), -1)),
        replaced("levels", np.zeros(3)),
        changed("latents", float("nan")),
    ],
)
def test_arrays_that_do_not_fit_their_case_are_refused(
    check: Check, golden: Path, tmp_path: Path, edit: Callable[[dict[str, Array]], None]
) -> None:
    done = check(edited(golden, edit, tmp_path / "hostile"))
    assert done.returncode == 3, done.stderr
    assert "write the file again" in done.stderr


@pytest.mark.parametrize(
    "metadata",
    [
        lambda golden: {"format": "pt"},
        lambda golden: {"version": "2"},
        lambda golden: {"artifact": '{"name": "other", "hash": "0"}'},
        lambda golden: {"artifact": "[" * 9999},
        lambda golden: {"cases": "["},
        lambda golden: {"cases": "[]"},
        lambda golden: {"cases": with_case(golden, sampler="best")},
        lambda golden: {"cases": with_case(golden, width=1 << 40)},
        lambda golden: {"cases": with_case(golden, steps=2)},
        lambda golden: {"cases": with_case(golden, name="unguided")},
        lambda golden: {"cases": with_case(golden, name="a/b")},
        lambda golden: {"cases": with_case(golden, unet_steps=[99])},
        lambda golden: {"cases": with_case(golden, seed="x")},
        lambda golden: {"cases": with_case(golden, tolerances={"ids": {}})},
        lambda golden: {"cases": with_case(golden, more=1)},
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    check: Check, golden: Path, tmp_path: Path, metadata: Callable[[Path], dict[str, str]]
) -> None:
    done = check(edited(golden, lambda tensors: None, tmp_path / "hostile", **metadata(golden)))
    assert done.returncode == 3, done.stderr


def test_a_damaged_file_is_refused(check: Check, golden: Path, tmp_path: Path) -> None:
    content = golden.read_bytes()
    damaged = [content[:size] for size in (0, 4, 100, len(content) // 2, len(content) - 1)]
    damaged.append(b"\xff" * 8 + content[8:])
    damaged.append(content.replace(b'"F32"', b'"I64"', 1))
    damaged.append(content.replace(b'"shape":', b'"shapf":', 1))
    for bytes_ in damaged:
        (tmp_path / "damaged").write_bytes(bytes_)
        done = check(tmp_path / "damaged")
        assert done.returncode == 3, done.stderr
        assert "is no whole safetensors file" in done.stderr
    assert check(tmp_path).returncode == 3
    assert check(tmp_path / "nowhere").returncode == 3
