"""A whole run in one graph: it makes the pictures of the pipeline, whatever was built in."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.arrays import Array
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Network, open_backend
from sdrt.backends.cancellation import Cancellation
from sdrt.diagnostics.verify import verify_artifact
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.manifest import Manifest
from sdrt.networks.denoiser import Denoiser
from sdrt.pipeline import Pipeline, load
from sdrt.sampling.noise import Noise
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.schedule import TrainingNoise
from sdrt_export.export_options import DefaultOptions
from sdrt_export.single_graph.coefficients import coefficients
from sdrt_export.single_graph.publish import export_single_graph
from tests.export.cli.export_command import export_command

PROMPT, NEGATIVE, SEEDS = "a red boat on the sea", "blurry", (3, 4)
LATENT = (4, 12, 8)
DRAWN = np.random.default_rng(0).standard_normal(20)
PIXELS: dict[str, Any] = {"width": 64, "height": 96}


def made_by_the_graph(where: Path, pipe: Pipeline, scale: float = 4.0) -> Array:
    """Pixels of two pictures."""
    single = open_artifact(where)
    spec = single.manifest.graphs["pipeline"]
    noise = Noise(SEEDS)
    feeds: dict[str, Array] = {
        "noise": noise.draw(LATENT),
        "ids": pipe.tokens(PROMPT).ids,
        "negative_ids": pipe.tokens(NEGATIVE).ids,
        "guidance_scale": np.array(scale, np.float32),
    }
    for tensor in spec.inputs:
        if tensor.name == "step_noise":
            draws = range(int(tensor.shape[0]))
            feeds["step_noise"] = np.stack([noise.draw(LATENT) for _ in draws])
    graph = pipe.backend.open(single.network("pipeline", pipe.backend.formats))
    image = graph.run(feeds)["image"]
    assert image.min() >= 0
    assert image.max() <= 1
    return (image * 255).round().transpose(0, 2, 3, 1)


def psnr(images: list[Image.Image], found: Array) -> float:
    expected = np.stack([np.asarray(image, np.float64) for image in images])
    assert found.shape == expected.shape
    error = float(((expected - found) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


@pytest.mark.parametrize(
    ("engine", "sampler", "scheduler"),
    [
        ("onnxruntime", "ddim", "default"),
        ("onnxruntime", "euler", "karras"),
        ("onnxruntime", "euler_a", "default"),
        ("onnxruntime", "dpm++2m", "karras"),
        ("onnxruntime", "heun", "default"),
        ("onnxruntime", "unipc", "default"),
        ("onnxruntime", "lcm", "default"),
        ("openvino", "dpm++2m", "default"),
    ],
)
def test_one_call_gives_the_pictures_of_the_pipeline(
    demo: Artifact, tmp_path: Path, engine: str, sampler: str, scheduler: str
) -> None:
    pipe = Pipeline(demo, open_backend(engine, precision="fp32"))
    export_single_graph(demo, tmp_path / "one", DefaultOptions(sampler, scheduler, steps=3))
    result = pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        seed=SEEDS,
        num_images_per_prompt=2,
        num_inference_steps=3,
        sampler=sampler,
        scheduler=scheduler,
        guidance_scale=4.0,
        **PIXELS,
    )
    assert psnr(result.images, made_by_the_graph(tmp_path / "one", pipe)) >= 50


def test_a_fixed_size_a_model_in_fp32_and_no_guidance(tiny: Artifact, tmp_path: Path) -> None:
    pipe = Pipeline(tiny, open_backend("onnxruntime"))
    export_single_graph(tiny, tmp_path / "one", DefaultOptions("ddim", steps=2, size=(64, 96)))
    manifest = open_artifact(tmp_path / "one").manifest
    assert manifest.graphs["pipeline"].inputs[2].shape == ("batch", *LATENT)
    assert (manifest.defaults.sampler, manifest.defaults.num_inference_steps) == ("ddim", 2)
    result = pipe(
        PROMPT,
        seed=SEEDS,
        num_images_per_prompt=2,
        num_inference_steps=2,
        sampler="ddim",
        guidance_scale=1.0,
        **PIXELS,
    )
    assert psnr(result.images, made_by_the_graph(tmp_path / "one", pipe, scale=1.0)) >= 50


def test_the_folder_is_an_artifact_that_verifies_and_has_the_weights_once(
    tiny: Artifact, tmp_path: Path
) -> None:
    export_single_graph(tiny, tmp_path / "one", DefaultOptions("euler", steps=2))
    with pytest.raises(ArtifactError, match="has no unet; it has: pipeline"):
        load(tmp_path / "one").start("x")
    report = verify_artifact(tmp_path / "one")
    assert report.graphs["pipeline"]["openvino against onnxruntime"] >= 60
    graphs = ("text_encoder", "unet", "vae_decoder")
    sizes = [tiny.manifest.files[tiny.manifest.graphs[g].files["onnx"][1]].size for g in graphs]
    assert sum(sizes) <= (tmp_path / "one/pipeline/model.onnx_data").stat().st_size
    assert report.total_bytes < sum(sizes) * 1.1 + 3_000_000


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_coefficients_make_what_the_sampler_makes(
    demo: Artifact, prediction: str, sampler: str
) -> None:
    """With a toy U-Net, in double precision."""
    manifest = demo.manifest.model_copy(update={"prediction": prediction})
    sampler_settings = SamplerSettings(sampler)
    tables = coefficients(manifest, sampler_settings, 6)
    rows = np.zeros(tables.latents.shape[1])
    rows[: 1 + tables.draws] = DRAWN[: 1 + tables.draws]
    for call in range(tables.calls):
        x = tables.latents[call] @ rows
        answer = np.tanh(x * tables.scales[call])
        rows[1 + tables.draws + call] = x * tables.of_x[call] + answer * tables.of_answer[call]
    assert tables.latents[-1] @ rows == pytest.approx(
        _sampled(manifest, sampler_settings), rel=1e-6
    )


class Toy:
    """A U-Net that is not linear."""

    def __init__(self, manifest: Manifest) -> None:
        self.network = Network("unet", manifest.graphs["unet"], (), "fp32")

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        return {"out_sample": np.tanh(feeds["sample"])}


def _sampled(manifest: Manifest, sampler_settings: SamplerSettings) -> float:
    steps = sampler_settings.steps(TrainingNoise.from_schedule(manifest.schedule), 6)
    denoise = Denoiser(
        Toy(manifest),
        steps,
        manifest.prediction,
        np.zeros((1, 1, 1), np.float32),
        timestep_scaling=sampler_settings.timestep_scaling,
    )
    draws = iter(DRAWN.reshape(-1, 1, 1, 1, 1))
    x = next(draws) * math.sqrt(1 + steps.sigmas[0] ** 2)
    *_, (last, _) = sampler_settings.trajectory(denoise, x, steps, lambda: next(draws))
    return float(last.item()) / math.sqrt(1 + steps.sigmas[-1] ** 2)


def test_what_cannot_be_one_graph_is_refused(demo: Artifact, tmp_path: Path) -> None:
    sampler_settings = SamplerSettings("ddim", options={"clip": 1.0})
    with pytest.raises(UnsupportedError, match="not linear"):
        coefficients(demo.manifest, sampler_settings, 4)
    with pytest.raises(UsageError, match="unknown sampler 'best'"):
        export_single_graph(demo, tmp_path / "one", DefaultOptions("best"))
    graphs = {name: graph for name, graph in demo.manifest.graphs.items() if name != "unet"}
    without = replace(demo, manifest=demo.manifest.model_copy(update={"graphs": graphs}))
    with pytest.raises(ArtifactError, match="has no unet in ONNX"):
        export_single_graph(without, tmp_path / "one", DefaultOptions(steps=2))
    assert not list(tmp_path.iterdir())


def test_the_command_takes_a_model_folder(tmp_path: Path) -> None:
    options = ("--single-graph", "--sampler", "euler", "--steps", 2, "--json")
    done = export_command("demo", tmp_path / "one", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["precision"] == "bf16"
