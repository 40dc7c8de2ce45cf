"""Golden vectors: they fit both engines, and a wrong stage is named, whichever it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.conformance.recorder import NAMES, GoldenPlan, record
from sdrt.diagnostics.conformance.replay import replay
from sdrt.diagnostics.conformance.tolerance import STAGES
from sdrt.errors import ArtifactError, ParityError, UsageError
from sdrt.files.safetensors import read_tensors, write_tensors
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.prompt_conditioning import PromptConditioning, encode_prompts
from sdrt.machine import has_bf16
from sdrt.networks.run_state import RunState
from sdrt.pipeline import Pipeline
from tests.runtime.remembering import RememberingBackend

QUICK = GoldenPlan(("euler_a", "dpm++2m karras"), steps=3, size=(64, 64))
Edit = Callable[[dict[str, Array]], None]


@pytest.fixture(scope="module")
def pipe(demo: Artifact) -> Pipeline:
    """Most of a replay is what the recording or another replay computed."""
    return Pipeline(demo, RememberingBackend())


@pytest.fixture(scope="module")
def golden(pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.safetensors"
    record(pipe, path, QUICK)
    return path


@pytest.mark.slow
def test_both_engines_pass_in_every_stage_with_every_sampler_of_the_host(
    demo: Artifact, tmp_path: Path
) -> None:
    path = tmp_path / "golden"
    pipe = Pipeline(demo, open_backend("onnxruntime", precision="fp32"))
    cases = record(pipe, path, GoldenPlan(NAMES, steps=3, size=(64, 64)))
    assert {case.sampler for case in cases} >= {"ddim", "euler", "euler_a", "unipc", "lcm"}
    assert path.stat().st_size < 4_000_000
    for engine in ("onnxruntime", "openvino"):
        report = replay(Pipeline(demo, open_backend(engine, precision="fp32")), path)
        report.check()
        assert tuple(report.worst()) == STAGES
        assert len(report.findings) == len(STAGES) * len(cases)


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_a_precision_with_less_has_limits_of_its_own(demo: Artifact, golden: Path) -> None:
    report = replay(Pipeline(demo, open_backend("openvino", precision="bf16")), golden)
    report.check()
    limits = {finding.stage: finding.difference.limit for finding in report.findings}
    assert limits["unet"] < 60 <= limits["latents"]


@pytest.mark.slow
def test_samplers_that_ask_more_than_once_a_step_can_be_replayed(
    pipe: Pipeline, tmp_path: Path
) -> None:
    path = tmp_path / "golden"
    plan = GoldenPlan(("heun", "dpm++sde"), steps=3, size=(64, 64))
    record(pipe, path, plan)
    replay(pipe, path).check()


def test_the_long_prompt_has_chunks_weights_and_other_scripts(golden: Path) -> None:
    tensors, metadata = read_tensors(golden)
    case = json.loads(metadata["cases"])[0]
    assert "BREAK" in case["prompt"]
    assert not case["prompt"].isascii()
    assert len(tensors["long-prompt/ids"]) > 2
    assert len(np.unique(tensors["long-prompt/weights"])) > 3
    assert tensors["long-prompt/negative_ids"].shape == (1, 77)
    expected = tensors["long-prompt/embeddings"].shape
    assert tensors["long-prompt/negative_embeddings"].shape == expected


def edited(golden: Path, edit: Edit, target: Path, **metadata: str) -> Path:
    tensors, texts = read_tensors(golden)
    edit(tensors)
    write_tensors(target, tensors, {**texts, **metadata})
    return target


def changed(name: str, by: float) -> Edit:
    """Change one value of an array; of an array for each answer or step, its last one."""

    def edit(tensors: dict[str, Array]) -> None:
        array = tensors[f"euler_a/{name}"].reshape(-1)
        place = -1 if name in ("denoised", "levels", "latents") else array.size // 2
        array[place] += np.array(by).astype(array.dtype)

    return edit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "name", "by"),
    [
        ("ids", "ids", -3),
        ("ids", "negative_ids", -3),
        ("weights", "weights", 0.1),
        ("embeddings", "embeddings", 3),
        ("embeddings", "negative_embeddings", 3),
        ("noise", "noise", 1e-6),
        ("sigmas", "sigmas", 1e-3),
        ("sigmas", "timesteps", 0.1),
        ("unet", "unet/0/out", 1),
        ("unet", "unet/0/sample", 1),
        ("unet", "unet/2/embeddings", 9),
        ("denoised", "levels", 0.1),
        ("denoised", "denoised", 1),
        ("latents", "latents", 1),
        ("pixels", "pixels", 100),
    ],
)
def test_the_stage_that_was_tampered_with_is_named(
    pipe: Pipeline, golden: Path, tmp_path: Path, stage: str, name: str, by: float
) -> None:
    report = replay(pipe, edited(golden, changed(name, by), tmp_path / "tampered"))
    assert report.to_record()["first_failure"] == stage
    with pytest.raises(ParityError, match=f"first stage that fails is {stage}, in the case 'eul"):
        report.check()


def test_right_stages_that_are_joined_wrongly_fail_at_the_end(
    pipe: Pipeline, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(self: DenoisingPass, state: RunState) -> PromptConditioning:
        right = encode_prompts(self.model, self.request, state)
        if right.negative is None:
            return right
        return PromptConditioning(right.negative, right.positive)

    monkeypatch.setattr(DenoisingPass, "encode", swapped)
    assert replay(pipe, golden).to_record()["first_failure"] == "picture"


def removed(name: str) -> Edit:
    def edit(tensors: dict[str, Array]) -> None:
        del tensors[f"euler_a/{name}"]

    return edit


def replaced(name: str, array: Array) -> Edit:
    def edit(tensors: dict[str, Array]) -> None:
        tensors[f"euler_a/{name}"] = array

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (removed("latents"), "has no tensor 'latents'"),
        (removed("unet/0/timestep"), "has no tensor 'unet/0/timestep'"),
        (replaced("noise", np.zeros((3, 4, 9, 8), np.float32)), "noise is float32"),
        (replaced("noise", np.zeros((0, 4, 8, 8), np.float32)), "noise is float32"),
        (replaced("ids", np.zeros((1, 77), np.float32)), "expected int64"),
        (replaced("ids", np.full((1, 77), 2**60)), "numbers outside 0 to"),
        (replaced("ids", np.full((1, 77), -1)), "numbers outside 0 to"),
        (replaced("levels", np.zeros(3)), "unet_steps or levels"),
        (changed("latents", float("nan")), "has NaN or infinity"),
    ],
)
def test_arrays_that_do_not_fit_their_case_are_typed_errors(
    pipe: Pipeline, golden: Path, tmp_path: Path, edit: Edit, words: str
) -> None:
    with pytest.raises(ArtifactError, match=words):
        replay(pipe, edited(golden, edit, tmp_path / "hostile"))


def with_case(golden: Path, **fields: Any) -> str:
    cases = json.loads(read_tensors(golden)[1]["cases"])
    return json.dumps([*cases[:-1], {**cases[-1], **fields}])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (lambda golden: {"format": "pt"}, "no file of golden vectors"),
        (lambda golden: {"version": "2"}, "has version '2'"),
        (
            lambda golden: {"artifact": '{"name": "other", "hash": "0"}'},
            "another artifact, 'other'",
        ),
        (lambda golden: {"artifact": "[]"}, "another artifact"),
        (lambda golden: {"artifact": "[" * 9999}, "artifact in its metadata"),
        (lambda golden: {"cases": "["}, "cases in its metadata"),
        (lambda golden: {"cases": "[]"}, "no cases"),
        (lambda golden: {"cases": with_case(golden, sampler="best")}, "unknown sampler 'best'"),
        (lambda golden: {"cases": with_case(golden, width=1 << 40)}, "width is"),
        (lambda golden: {"cases": with_case(golden, steps=2)}, "is float64 of"),
        (lambda golden: {"cases": with_case(golden, name="euler_a")}, "two of one name"),
        (lambda golden: {"cases": with_case(golden, name="a/b")}, "name: string should match"),
        (lambda golden: {"cases": with_case(golden, unet_steps=[99])}, "unet_steps or levels"),
        (lambda golden: {"cases": with_case(golden, seed="x")}, "seed: input should be"),
        (lambda golden: {"cases": with_case(golden, tolerances={"ids": {}})}, "has one of equal"),
        (lambda golden: {"cases": with_case(golden, more=1)}, "more: extra inputs"),
    ],
)
def test_metadata_that_does_not_fit_is_a_typed_error(
    pipe: Pipeline,
    golden: Path,
    tmp_path: Path,
    metadata: Callable[[Path], dict[str, str]],
    words: str,
) -> None:
    hostile = edited(golden, lambda tensors: None, tmp_path / "hostile", **metadata(golden))
    with pytest.raises(ArtifactError, match=words):
        replay(pipe, hostile)


def test_a_truncated_file_is_a_typed_error(pipe: Pipeline, golden: Path, tmp_path: Path) -> None:
    content = golden.read_bytes()
    for size in (4, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "short").write_bytes(content[:size])
        with pytest.raises(ArtifactError, match="is no whole safetensors file"):
            replay(pipe, tmp_path / "short")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (GoldenPlan(("best",)), "unknown sampler 'best'"),
        (GoldenPlan(()), "no sampler"),
        (GoldenPlan(steps=3, unet_steps=(3,)), "a U-Net step is 3"),
        (GoldenPlan(size=(100, 100)), "width is 100"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_any_work(
    pipe: Pipeline, tmp_path: Path, plan: GoldenPlan, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        record(pipe, tmp_path / "golden", plan)
    assert not list(tmp_path.iterdir())
