"""The protocol between runner and workers, and the one worker that runs in our environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.errors import UsageError
from sdrt.manifest import Lora, Source
from sdrt_bench.bench.peers import catalogue as peers
from sdrt_bench.bench.peers.catalogue import PEERS, WORKERS, PeerRunner, cells, choose_peers
from sdrt_bench.bench.peers.environments import READY, Environment, EnvironmentSpec
from sdrt_bench.bench.peers.weights import Weights
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import OUTCOME, RoundFailure, RoundResult, RoundSpec
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint

ASKED = Params(
    model="tiny",
    backend="",
    precision="fp32",
    width=64,
    height=64,
    steps=6,
    threads=1,
    prompt="a red boat",
)


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return Weights(RandomCheckpoint.from_preset(*read_preset("tiny")), tmp_path)


def run(worker: Path, params: Params, model: Path, folder: Path, measure: int = 6) -> Any:
    spec = RoundSpec(
        name="cell",
        params=params,
        measure=measure,
        result=folder / "result.json",
        folder=folder,
        options={"model": str(model)},
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        [sys.executable, worker],
        input=spec.model_dump_json(),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return OUTCOME.validate_json((folder / "result.json").read_text())


def test_diffusers_runs_the_first_steps_and_decodes(weights: Weights, tmp_path: Path) -> None:
    params = cells([PEERS["diffusers"]], [ASKED])[2]
    result = run(
        WORKERS / "run_diffusers.py", params, weights.layout("diffusers"), tmp_path, measure=3
    )
    assert isinstance(result, RoundResult)
    assert (result.precision.requested, result.precision.executed) == ("bf16", "bf16")
    assert result.options["channels_last"] is True
    steps = result.round.step_s
    assert (len(steps), result.round.steps_run) == (3, 3)
    assert result.round.image_s is not None
    assert result.round.image_s >= sum(steps) + 3 * sorted(steps[1:])[0]
    assert result.round.peak_rss is not None
    assert result.round.peak_rss >= (result.round.steady_rss or 0) > 0
    assert result.latents is not None
    assert result.picture is not None
    assert np.load(result.latents)["latents"].shape == (3, 4, 8, 8)
    with Image.open(result.picture) as picture:
        assert picture.size == (64, 64)


def test_a_peer_that_cannot_do_it_says_why_in_one_sentence(tmp_path: Path) -> None:
    params = cells([PEERS["diffusers"]], [ASKED])[0]
    failure = run(WORKERS / "run_diffusers.py", params, tmp_path / "nothing", tmp_path)
    assert isinstance(failure, RoundFailure)
    assert "nothing" in failure.error
    assert "\n" not in failure.error


def test_a_worker_that_has_no_peer_to_import_leaves_no_result(tmp_path: Path) -> None:
    params = cells([PEERS["openvino-genai"]], [ASKED])[0]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(WORKERS / "run_openvino_genai.py", params, tmp_path, tmp_path)
    assert "openvino_genai" in caught.value.stderr


def test_a_worker_gets_the_specification_and_its_outcome_is_a_result(tmp_path: Path) -> None:
    worker = tmp_path / "stand_in.py"
    worker.write_text(
        f"import sys; sys.path.insert(0, {str(WORKERS)!r})\n"
        "from harness import Clock, serve\n"
        "def run(spec):\n"
        "    clock = Clock(spec.measure)\n"
        "    clock.start_loading()\n"
        "    clock.start_picture()\n"
        "    network = clock.timed('unet', lambda: None)\n"
        "    network()\n"
        "    while not clock.end_step():\n"
        "        network()\n"
        "    return {'round': clock.round(spec.params['steps']), 'precision': {\n"
        "        'requested': spec.params['precision'], 'stored': 'fp32', 'executed': 'unknown'},\n"
        "        'options': {'model': spec.model, 'best': spec.is_best}}\n"
        "serve(run)\n"
    )
    result = run(worker, ASKED, tmp_path / "model", tmp_path, measure=4)
    assert isinstance(result, RoundResult)
    assert result.options == {"model": str(tmp_path / "model"), "best": False}
    assert result.round.steps_run == 4
    assert (result.round.sampler_s or 0) + sum(result.round.load_s.values()) < 1


def test_a_round_starts_in_the_environment_of_the_peer_with_the_same_weights(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(environment: EnvironmentSpec, cache: Path, options: Any) -> Environment:
        folder = cache / environment.name
        folder.mkdir(exist_ok=True)
        (folder / READY).write_text(json.dumps({}))
        return Environment(folder)

    monkeypatch.setattr(peers, "prepare", made)
    runner = PeerRunner(weights, tmp_path)
    params = cells([PEERS["stable-diffusion.cpp"]], [ASKED])[0]
    start = runner.command(params)
    assert start.argv[0] == str(tmp_path / "ggml" / "bin" / "python")
    assert Path(start.argv[1]).is_file()
    assert start.options == {"model": str(weights.layout("ldm"))}
    assert start.env is not None
    assert start.env["OMP_NUM_THREADS"] == "1"


def test_every_peer_has_a_worker_and_cells_as_it_comes_and_tuned() -> None:
    for peer in PEERS.values():
        assert (WORKERS / peer.worker).is_file()
        made = cells([peer], [ASKED])
        assert {params.settings for params in made} == {"default", "best"}
        assert {params.tool for params in made} == {peer.name}
        assert {params.precision for params in made} <= peer.layouts.keys()


def test_unknown_peers_and_precisions_are_errors(weights: Weights, tmp_path: Path) -> None:
    assert [peer.name for peer in choose_peers("diffusers, optimum-onnx")] == [
        "diffusers",
        "optimum-onnx",
    ]
    assert choose_peers("all") == list(PEERS.values())
    with pytest.raises(UsageError, match="did you mean 'diffusers'"):
        choose_peers("diffuser")
    with pytest.raises(UsageError, match="no precision 'q8_0'; expected one of fp32"):
        PeerRunner(weights, tmp_path).command(
            ASKED.model_copy(update={"tool": "diffusers", "precision": "q8_0"})
        )


def test_each_request_is_made_once_of_every_variant() -> None:
    ours = [
        ASKED.model_copy(update={"backend": backend}) for backend in ("openvino", "onnxruntime")
    ]
    made = cells([PEERS["optimum-onnx"]], ours)
    assert [(params.tool, params.settings) for params in made] == [
        ("optimum-onnx", "default"),
        ("optimum-onnx", "best"),
    ]


def test_a_sampler_that_peers_do_not_have_is_refused() -> None:
    ours = [ASKED.model_copy(update={"sampler": "dpm++2m"})]
    with pytest.raises(UsageError, match="all know ddim and euler: add --sampler ddim"):
        cells([PEERS["diffusers"]], ours)


def test_weights_that_nobody_knows_have_to_be_given(tmp_path: Path) -> None:
    assert Weights.from_source(Source(id="random:tiny"), None, tmp_path).checkpoint.name == "tiny"
    with pytest.raises(UsageError, match="--peer-weights"):
        Weights.from_source(Source(id="someone/model"), None, tmp_path)


@pytest.mark.parametrize("given", [None, Path("some/folder")])
def test_a_model_with_loras_has_no_peers(tmp_path: Path, given: Path | None) -> None:
    """Their weights come from the checkpoint, which has none of them."""
    lora = Lora(file="ink.safetensors", sha256="0" * 64, weight=0.8)
    with pytest.raises(UsageError, match="ink.safetensors is merged into the model's weights"):
        Weights.from_source(Source(id="random:tiny", loras=(lora,)), given, tmp_path)


def test_one_precision_of_a_peer_can_be_named() -> None:
    (peer,) = choose_peers("stable-diffusion.cpp:f16")
    assert [precision for precision, _ in peer.variants] == ["f16", "f16"]
    with pytest.raises(UsageError, match="has no precision 'f17'; expected one of f16, q8_0"):
        choose_peers("stable-diffusion.cpp:f17")
