"""An export computes what torch computes, is published whole, or not at all."""

import gc
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import openvino as ov
import pytest
import torch

import sdrt
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.errors import ParityError, UsageError
from sdrt.files.checksums import sha256
from sdrt.images.latent_preview import fit_preview
from sdrt.pipeline import Pipeline
from sdrt.snr import snr_db
from sdrt_bench.docs.picture_parity import SCHEDULERS, TorchNetworks, compare, make_scheduler
from sdrt_bench.similarity import psnr_db
from sdrt_export import exporter
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import ExportOptions
from sdrt_export.graphs import to_onnx
from sdrt_export.graphs.networks import TextEncoderModule, networks
from sdrt_export.graphs.parity import check_floor
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint

ROOT = Path(__file__).parents[2]
NETWORKS = ["text_encoder", "unet", "vae_decoder", "vae_encoder"]


def tiny_checkpoint() -> RandomCheckpoint:
    return RandomCheckpoint.of(*read_preset("tiny"))


def files_of(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("precision", "floor"), [("fp32", 80), ("bf16", 40)])
def test_every_graph_is_measured_against_torch_on_both_engines(
    tiny_exports: dict[str, Path], precision: str, floor: float
) -> None:
    manifest = open_artifact(tiny_exports[precision]).manifest
    assert list(manifest.graphs) == NETWORKS
    for graph in manifest.graphs.values():
        assert graph.parity_db.keys() == {"onnxruntime", "openvino"}
        assert min(graph.parity_db.values()) >= floor


def test_the_manifest_lists_every_file_and_nothing_else(tiny_exports: dict[str, Path]) -> None:
    for root in tiny_exports.values():
        listed = {name: r.sha256 for name, r in open_artifact(root).manifest.files.items()}
        found = files_of(root)
        del found["manifest.json"]
        assert listed == found


def test_previews_are_fitted_to_the_checkpoints_decoder(tiny_exports: dict[str, Path]) -> None:
    artifact = open_artifact(tiny_exports["fp32"])
    latent, pipe = artifact.manifest.latent, Pipeline(artifact, open_backend("onnxruntime"))
    again = fit_preview(latent, lambda latents: np.stack(pipe.decode(latents)))
    assert latent.preview is not None
    assert np.abs(latent.preview.matrix).max() > 0.001
    np.testing.assert_allclose(latent.preview.matrix, again.matrix, atol=2e-4)
    np.testing.assert_allclose(latent.preview.bias, again.bias, atol=2e-4)


def test_the_layout_is_that_of_diffusers(tiny_exports: dict[str, Path]) -> None:
    root = tiny_exports["fp32"]
    index = json.loads((root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    for network in NETWORKS:
        names = {path.name for path in (root / network).iterdir()}
        assert names == {
            *("config.json", "model.onnx", "model.onnx_data"),
            *("openvino_model.xml", "openvino_model.bin"),
        }
    assert (root / "tokenizer" / "tokenizer.json").is_file()
    assert (root / "scheduler" / "scheduler_config.json").is_file()


def test_names_of_inputs_and_outputs_are_those_of_optimum(tiny_exports: dict[str, Path]) -> None:
    graphs = open_artifact(tiny_exports["fp32"]).manifest.graphs
    signatures = {
        name: ([i.name for i in graph.inputs], [o.name for o in graph.outputs])
        for name, graph in graphs.items()
    }
    assert signatures == {
        # The second is ours: Optimum's `hidden_states.N` lack the norm.
        "text_encoder": (["input_ids"], ["last_hidden_state", "layer_states"]),
        "unet": (["sample", "timestep", "encoder_hidden_states"], ["out_sample"]),
        "vae_decoder": (["latent_sample"], ["sample"]),
        "vae_encoder": (["sample"], ["latent_parameters"]),
    }


def test_bf16_halves_the_disk_and_casts_back_in_the_graph(tiny_exports: dict[str, Path]) -> None:
    for file in ("unet/model.onnx_data", "unet/openvino_model.bin"):
        wide, narrow = (tiny_exports[p] / file for p in ("fp32", "bf16"))
        assert narrow.stat().st_size < 0.55 * wide.stat().st_size
    model = ir.load(tiny_exports["bf16"] / "unet" / "model.onnx")
    tensors = [value.const_value for value in model.graph.initializers.values()]
    stored = {tensor.dtype for tensor in tensors if tensor is not None and tensor.size > 4096}
    assert ir.DataType.BFLOAT16 in stored
    assert all(value.dtype == ir.DataType.FLOAT for value in model.graph.outputs)


def test_openvino_holds_bf16_weights_as_they_are_stored(tiny_exports: dict[str, Path]) -> None:
    core = ov.Core()
    model = core.read_model(tiny_exports["bf16"] / "vae_decoder" / "openvino_model.xml")
    stored = [op for op in model.get_ops() if op.get_element_type() == ov.Type.bf16]
    model.reshape({"latent_sample": ov.PartialShape([1, 4, 8, 8])})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    constants = [fact["outputPrecisions"].value for fact in facts if is_constant(fact)]
    assert len(stored) > 10
    assert constants.count("bf16") == len(stored)


def is_constant(fact: Any) -> bool:
    return bool(fact["layerType"].value == "Const")


def test_a_network_that_is_written_leaves_no_weights_in_memory(tmp_path: Path) -> None:
    network = next(n for n in networks(tiny_checkpoint()) if n.name == "unet")
    weights = [weakref.ref(weight) for weight in network.module.parameters()]
    to_onnx.write_onnx(to_onnx.trace(network), tmp_path, "bf16")
    del network
    gc.collect()
    assert len(weights) > 100
    assert [weight for weight in weights if weight() is not None] == []


def test_stored_bf16_is_torchs_rounding(tiny_exports: dict[str, Path]) -> None:
    wide, narrow = (ir.load(tiny_exports[p] / "unet" / "model.onnx") for p in ("fp32", "bf16"))
    compared = 0
    for name, value in narrow.graph.initializers.items():
        original = wide.graph.initializers.get(name.removesuffix("_bf16"))
        if not name.endswith("_bf16") or original is None:
            continue
        assert value.const_value is not None
        assert original.const_value is not None
        expected = torch.from_numpy(original.const_value.numpy().copy()).bfloat16().float()
        np.testing.assert_array_equal(value.const_value.numpy().astype(np.float32), expected)
        compared += 1
    assert compared > 10


def test_attention_and_norms_stay_whole_in_the_graphs(tiny_exports: dict[str, Path]) -> None:
    model = ir.load(tiny_exports["fp32"] / "unet" / "model.onnx")
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("MultiHeadAttention") == 8  # two for each of four transformer blocks
    assert "Softmax" not in kinds
    assert kinds.count("GroupNormalization") == 21
    assert kinds.count("Gelu") == 4
    assert "Split" not in kinds  # of what a gated layer makes
    intermediate = ov.Core().read_model(tiny_exports["fp32"] / "unet" / "openvino_model.xml")
    kinds = [node.get_type_name() for node in intermediate.get_ops()]
    assert kinds.count("ScaledDotProductAttention") == 8
    assert kinds.count("GroupNormalization") == 21


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (136, 64)])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_runtime_makes_the_picture_that_torch_makes(
    tiny_exports: dict[str, Path], size: tuple[int, int], backend: str
) -> None:
    """DDIM in torch, written out here, against the exported graphs in the runtime's loop."""
    from diffusers import DDIMScheduler

    checkpoint, (width, height) = tiny_checkpoint(), size
    ids = checkpoint.tokenizer()(
        ["", "a boat"], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    scheduler = DDIMScheduler.from_config(checkpoint.configs["scheduler"], set_alpha_to_one=False)
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(11)
    x = torch.randn((1, 4, height // 8, width // 8), generator=generator)
    unet = checkpoint.unet()
    with torch.no_grad():
        states = checkpoint.text_encoder()(ids).last_hidden_state
        for t in scheduler.timesteps:
            negative, positive = unet(torch.cat([x, x]), t, states).sample.chunk(2)
            x = scheduler.step(negative + 5.0 * (positive - negative), t, x).prev_sample
        decoded = checkpoint.vae().decode(x / checkpoint.latent.scale).sample[0].numpy()

    pipe = sdrt.load(tiny_exports["fp32"], backend=backend, precision="fp32")
    run = pipe.start(
        *("a boat",),
        width=width,
        height=height,
        seed=11,
        sampler="ddim",
        guidance_scale=5.0,
        num_inference_steps=4,
    )
    image = np.asarray(run.result().images[0])
    expected = ((decoded / 2 + 0.5).clip(0, 1) * 255).round().transpose(1, 2, 0)
    assert np.abs(image - expected).max() <= 1


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
# Karras's levels go over the whole range of training, in diffusers' Euler over that of its steps.
@pytest.mark.parametrize("name", sorted(SCHEDULERS.keys() - {"euler karras"}))
def test_pictures_equal_those_of_diffusers(tiny_exports: dict[str, Path], name: str) -> None:
    """The whole way from a scheduler's configuration and a seed to pixels."""
    checkpoint = tiny_checkpoint()
    pipes = {"onnxruntime": sdrt.load(tiny_exports["fp32"], backend="onnxruntime")}
    scheduler = make_scheduler(name, checkpoint.configs["scheduler"])
    networks = TorchNetworks.of(checkpoint)
    theirs, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 45
    _, (other,) = compare(networks, pipes, scheduler, "a boat", seed=4, steps=6)
    assert psnr_db(theirs, other) < 30


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_gives_the_embeddings_of_diffusers(
    tiny_exports: dict[str, Path], backend: str, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What diffusers calls N - 1 is N here, as in AUTOMATIC1111's web UI."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    # diffusers looks for the network where older versions of transformers have it.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    checkpoint = tiny_checkpoint()
    theirs = StableDiffusionPipeline(
        vae=None,
        text_encoder=checkpoint.text_encoder(),
        tokenizer=checkpoint.tokenizer(),
        unet=None,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    text = "a red boat on the sea"
    expected, _ = theirs.encode_prompt(text, "cpu", 1, False, clip_skip=layer - 1 or None)
    other, _ = theirs.encode_prompt(text, "cpu", 1, False, clip_skip=2 - layer or None)
    pipe = sdrt.load(tiny_exports["fp32"], backend=backend, precision="fp32")
    ours = pipe.encode(text, clip_skip=layer)
    assert snr_db(expected.numpy(), ours) >= 80
    assert snr_db(other.numpy(), ours) < 40


def test_a_wrong_second_output_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = TextEncoderModule.forward

    def broken(
        self: TextEncoderModule, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        last, layers = forward(self, input_ids)
        return last, layers + 0.01 * torch.compiler.is_exporting()

    monkeypatch.setattr(TextEncoderModule, "forward", broken)
    with pytest.raises(ParityError, match="text_encoder on onnxruntime is .* dB"):
        exporter.export(tiny_checkpoint(), tmp_path / "out", formats=["onnx"])
    assert list(tmp_path.iterdir()) == []


def test_a_graph_below_the_floor_is_not_published(
    tmp_path: Path, tiny_exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One weight of the traced U-Net is changed on its way to the file."""
    destination = Path(shutil.copytree(tiny_exports["fp32"], tmp_path / "out"))
    before = files_of(destination)
    trace = to_onnx.trace

    def broken(network: Any) -> ir.Model:
        model: ir.Model = trace(network)
        if network.name == "unet":
            bias = model.graph.initializers["network.conv_out.bias"]
            assert bias.const_value is not None
            bias.const_value = ir.tensor(bias.const_value.numpy() + 0.01, name=bias.name)
        return model

    monkeypatch.setattr(exporter, "trace", broken)
    with pytest.raises(ParityError, match="unet on onnxruntime is .* dB .*nothing was published"):
        exporter.export(tiny_checkpoint(), destination)
    assert files_of(destination) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("figure", [79.9, float("nan"), float("-inf")])
def test_a_figure_below_the_floor_raises(figure: float) -> None:
    check_floor("unet", "fp32", {"onnxruntime": 80.0})
    with pytest.raises(ParityError, match="unet on openvino"):
        check_floor("unet", "fp32", {"onnxruntime": 120.0, "openvino": figure})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "unknown precision 'fp16'; known: fp32, bf16, int8"),
        ({"formats": ("tflite",)}, "unknown format: 'tflite'; known: onnx, openvino"),
        ({"formats": ()}, "unknown format: no format"),
    ],
)
def test_unknown_precisions_and_formats_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        exporter.export(tiny_checkpoint(), tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = export_command(
        *("--random", "tiny", tmp_path / "out", "--format", "onnx", "-q"), preexec_fn=limit
    )
    assert done.returncode == 5, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def export_command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    roots = os.pathsep.join(str(ROOT / root) for root in ("runtime", "export"))
    code = "import sys; from sdrt.cli.main import cli, main\n"
    code += "from sdrt_export.cli.export import export\n"
    code += "cli.add_command(export); sys.argv[1:1] = ['export']; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


def test_the_command_prints_parity_time_and_memory(tmp_path: Path) -> None:
    done = export_command("--random", "tiny", tmp_path / "out", "--format", "openvino")
    assert done.returncode == 0, done.stderr
    verified = r"unet, fp32: verified in \d+ s: onnxruntime \d+\.\d dB, openvino \d+\.\d dB"
    assert re.search(verified, done.stderr)
    assert "GB of memory" in done.stdout
    manifest = open_artifact(tmp_path / "out").manifest
    assert {tuple(graph.files) for graph in manifest.graphs.values()} == {("openvino",)}
    assert not list((tmp_path / "out").rglob("*.onnx*"))
    assert (manifest.defaults.width, manifest.source.id) == (64, "random:tiny")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "out"], 3, "nowhere is nothing: the path does not exist"),
        (["."], 2, "1 paths were given; expected: sdrt export SOURCE DEST"),
        (["--random", "tiny"], 2, "0 paths were given; expected: sdrt export --random PRESET DEST"),
        (
            ["--random", "sd99", "out"],
            2,
            "there is no preset 'sd99'; known: demo, instruct-pix2pix, lcm",
        ),
        (["--random", "tiny", "--preset", "tiny", "out"], 2, "give one of them"),
        (["--preset", "tiny", "out"], 2, "names no source"),
        (["--random", "tiny", "out", "--precision", "fp8"], 2, "known: fp32, bf16, int8"),
        (["--random", "tiny", "out", "--format", "onnx,pt"], 2, "known: onnx, openvino"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = export_command(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sdrt_export"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(sdrt.SdrtError, match=r"pip install 'sdrt\[export\]'") as caught:
        run_export([tmp_path / "out"], ExportOptions(random="tiny", quiet=True))
    assert caught.value.exit_code == 9


def test_optimum_knows_the_command_and_the_networks(tmp_path: Path) -> None:
    from optimum.exporters.tasks import TasksManager

    import sdrt_export.graphs.optimum_configs  # noqa: F401
    from optimum.commands import optimum_cli

    constructor = TasksManager.get_exporter_config_constructor(
        exporter="sdrt",
        task="semantic-segmentation",
        model_type="unet-2d-condition",
        library_name="diffusers",
    )
    assert constructor is not None
    commands = optimum_cli.load_optimum_namespace_cli_commands()
    assert "sdrt" in [command.name for command, _ in commands if hasattr(command, "name")]
    roots = os.pathsep.join(str(ROOT / root) for root in ("runtime", "export"))
    done = subprocess.run(
        [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "sdrt"]
        + ["-m", str(tmp_path), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 3, done.stderr
    assert "is an empty folder; expected a diffusers folder" in done.stderr


def test_parity_is_measured_in_decibels() -> None:
    signal = np.ones(1000)
    assert snr_db(signal, signal) == float("inf")
    assert snr_db(signal, signal + 0.01) == pytest.approx(40)
    assert snr_db(np.zeros(3), np.ones(3)) == float("-inf")
