"""One round: the picture is really made, and what was executed is what was asked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UnsupportedError
from sdrt.pipeline import load
from sdrt_bench.bench.cells import cell_name
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import RoundResult, RoundSpec
from sdrt_bench.bench.runner import environment, python
from sdrt_bench.bench.worker import measure
from sdrt_bench.precision_check import check_executed
from tests.runtime.fakes import pretend_demo


def spec(folder: Path, measure: int = 3, **fields: Any) -> RoundSpec:
    params = {
        "model": "demo",
        "backend": "fake",
        "precision": "bf16",
        "width": 64,
        "height": 64,
        "steps": 3,
        "sampler": "ddim",
        "threads": 1,
        "prompt": "a boat",
        **fields,
    }
    return RoundSpec(
        name="the cell",
        params=Params.model_validate(params),
        measure=measure,
        result=folder / "result.json",
        folder=folder,
        options={"artifact": "demo"},
    )


def fake(executes: Any = None) -> FakeBackend:
    return FakeBackend(pretend_demo, precision="bf16", executes=executes)


def test_an_engine_that_executes_something_else_is_an_error_that_names_the_cell(
    tmp_path: Path, demo: Artifact
) -> None:
    liar = fake(executes="fp32")
    with pytest.raises(UnsupportedError, match=r"^the cell: fake was asked for bf16 and executed"):
        measure(spec(tmp_path), lambda _: liar)
    message = "fake bf16 demo 64x64 .* asked for bf16 and executes fp32"
    with pytest.raises(UnsupportedError, match=message):
        check_executed(cell_name(spec(tmp_path).params), demo, liar)
    check_executed("the cell", demo, fake())


def test_every_part_has_its_time(tmp_path: Path) -> None:
    result = measure(spec(tmp_path), lambda _: fake())
    measured = result.round
    assert (len(measured.step_s), measured.steps_run) == (3, 3)
    assert set(measured.load_s) == {"text_encoder", "unet", "vae_decoder"}
    assert measured.text_encoder_s is not None
    assert measured.vae_decoder_s is not None
    assert measured.sampler_s is not None
    assert 0 <= measured.sampler_s <= sum(measured.step_s)
    assert measured.image_s is not None
    assert (
        measured.image_s >= sum(measured.step_s) + measured.vae_decoder_s + measured.text_encoder_s
    )
    assert measured.first_step_end_s is not None
    assert measured.first_step_end_s >= measured.step_s[0]
    assert (measured.peak_rss or 0) >= (measured.steady_rss or 0) > 0
    assert result.precision.model_dump(include={"requested", "stored", "executed"}) == {
        "requested": "bf16",
        "stored": "bf16",
        "executed": "bf16",
    }


@pytest.mark.parametrize("guidance", [True, False])
def test_a_short_round_runs_the_schedules_first_steps_and_says_so(
    tmp_path: Path, guidance: bool
) -> None:
    whole, short = (tmp_path / name for name in ("whole", "short"))
    for folder in (whole, short):
        folder.mkdir()
    engine = fake()
    measure(spec(whole, 9, steps=9, guidance=guidance), lambda _: fake())
    result = measure(spec(short, 2, steps=9, guidance=guidance), lambda _: engine)
    assert engine.ran.count("unet") == 2
    assert result.round.steps_run == 2
    # Of nine, seven by the second's.
    assert (result.round.image_s or 0) >= 8 * result.round.step_s[1]
    latents, all_latents = (np.load(path / "latents.npz")["latents"] for path in (short, whole))
    np.testing.assert_array_equal(latents, all_latents[:2])


@pytest.mark.slow
def test_in_a_process_of_its_own_it_makes_the_same_picture_as_the_runtime(tmp_path: Path) -> None:
    asked = spec(tmp_path, 2, backend="onnxruntime", precision="fp32", steps=2, seed=5)
    done = subprocess.run(
        python("sdrt_bench.bench.worker"),
        input=asked.model_dump_json(),
        env=environment(),
        text=True,
        check=True,
        timeout=120,
    )
    assert done.returncode == 0
    result = RoundResult.model_validate_json(asked.result.read_text())
    assert result.precision.shares == {"fp32": 1}
    assert result.versions.keys() >= {"sdrt", "onnxruntime"}
    pipe = load(backend="onnxruntime", threads=1, precision="fp32")
    size = {"width": 64, "height": 64, "num_inference_steps": 2}
    made = pipe("a boat", seed=5, sampler="ddim", guidance_scale=7.5, **size)  # type: ignore[arg-type]
    assert result.picture is not None
    with Image.open(result.picture) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(made.images[0]))


def test_an_error_is_left_as_a_sentence(tmp_path: Path) -> None:
    asked = spec(tmp_path, backend="onnxruntime", precision="bf16")
    subprocess.run(
        python("sdrt_bench.bench.worker"),
        input=asked.model_dump_json(),
        env=environment(),
        text=True,
        check=True,
        timeout=120,
    )
    outcome = json.loads(asked.result.read_text())
    assert outcome["kind"] == "UnsupportedError"
    assert outcome["error"].startswith("the cell: onnxruntime was asked for bf16 and executed fp32")
