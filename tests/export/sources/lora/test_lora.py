"""A LoRA gives the same weights however it is named, and the picture that diffusers makes."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from diffusers import StableDiffusionPipeline

import sdrt
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.adapters.lora_names import LORA_NETWORKS
from sdrt.artifact import open_artifact
from sdrt.diagnostics.info import describe_model
from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt.files.checksums import sha256
from sdrt_bench.docs.picture_parity import TorchNetworks, compare, make_scheduler
from sdrt_bench.similarity import psnr_db
from sdrt_export.cli.export import export as export_command
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import DefaultOptions, ExportOptions, Int8Options, SourceOptions
from sdrt_export.presets import read_preset
from sdrt_export.sources.lora import merged, with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.weight_names import to_ldm
from tests.export.sources.lora.writing import (
    ALPHA,
    ENDS,
    RANK,
    Key,
    Pair,
    Tensors,
    diffusers,
    kohya,
    peft,
    processors,
    random_lora,
    save,
    save_peft,
)

Weights = dict[Key, torch.Tensor]
WEIGHT = 0.7
IN_FILE = {
    f"{part}.{name}": value
    for part in LORA_NETWORKS
    for name, value in (("r", RANK), ("lora_alpha", ALPHA))
}


@pytest.fixture(scope="module")
def tiny_checkpoint() -> RandomCheckpoint:
    return RandomCheckpoint.of(*read_preset("tiny"))


@pytest.fixture(scope="module")
def lora(tiny_checkpoint: RandomCheckpoint) -> dict[Key, Pair]:
    return random_lora(tiny_checkpoint)


@pytest.fixture(scope="module", params=["tiny", "tiny-sdxl"])
def checkpoint(request: pytest.FixtureRequest) -> RandomCheckpoint:
    """Models with one text encoder, and with two."""
    return RandomCheckpoint.of(*read_preset(request.param))


@pytest.fixture(scope="module")
def broad(checkpoint: RandomCheckpoint) -> dict[Key, Pair]:
    """A LoRA with all kinds of layers that are trained."""
    return random_lora(checkpoint, ends=(*ENDS, "linear_1", "linear_2", "upsamplers.0.conv"))


@pytest.fixture(scope="module")
def kohya_file(lora: dict[Key, Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("lora") / "style.safetensors", kohya(lora))


def of_part(lora: dict[Key, Pair], part: str) -> dict[Key, Pair]:
    return {key: pair for key, pair in lora.items() if key[0] == part}


def parts_of(checkpoint: RandomCheckpoint) -> list[str]:
    return [*checkpoint.text_encoders, "unet"]


def weights(checkpoint: RandomCheckpoint, *asked: LoraSpec) -> Weights:
    both = with_loras(checkpoint, asked)
    return {
        (part, name): weight
        for part in parts_of(checkpoint)
        for name, weight in merged(both, part).state_dict().items()
    }


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for key, weight in expected.items():
        assert torch.equal(found[key], weight), key


def test_a_layers_weight_grows_by_the_product_of_the_two_matrices(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    file = save(tmp_path / "a.safetensors", kohya(broad))
    before, after = weights(checkpoint), weights(checkpoint, LoraSpec(file, WEIGHT))
    sizes = set()
    for (part, name), weight in after.items():
        key = (part, name.removesuffix(".weight"))
        change = torch.zeros(())
        if name.endswith(".weight") and key in broad:
            pair = broad[key]
            product = torch.einsum("or...,ri...->oi...", pair.up, pair.down)
            change = WEIGHT * ALPHA / RANK * product
            sizes.add(tuple(weight.shape[2:]))
        torch.testing.assert_close(weight, before[part, name] + change)
    assert sizes == {(), (1, 1), (3, 3)}


def test_all_schemes_give_the_same_weights(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    file = save(tmp_path / "k.safetensors", kohya(broad))
    expected = weights(checkpoint, LoraSpec(file, WEIGHT))
    file = save(tmp_path / "d.safetensors", diffusers(broad), lora_adapter_metadata=IN_FILE)
    assert_same(weights(checkpoint, LoraSpec(file, WEIGHT)), expected)
    files = [save_peft(tmp_path / part, of_part(broad, part)) for part in parts_of(checkpoint)]
    assert_same(weights(checkpoint, *(LoraSpec(one, WEIGHT) for one in files)), expected)
    renamed = {name.replace("_A.", "_A.default."): one for name, one in peft(broad).items()}
    save(files[0], renamed)
    assert_same(weights(checkpoint, LoraSpec(files[0], WEIGHT)), expected)


def test_names_of_attentions_processors_and_of_the_original_code_are_known(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    attention = {key: pair for key, pair in broad.items() if ".attn" in key[1] or "self_" in key[1]}
    assert {part for part, _ in attention} == set(parts_of(checkpoint))
    new = save(tmp_path / "new.safetensors", diffusers(attention))
    old = save(tmp_path / "old.safetensors", processors(attention))
    expected = weights(checkpoint, LoraSpec(new))
    assert_same(weights(checkpoint, LoraSpec(old)), expected)
    bare = {name.removeprefix("unet."): one for name, one in processors(attention).items()}
    save(old, bare)
    assert_same(weights(checkpoint, LoraSpec(old)), expected)

    unet = of_part(broad, "unet")
    config = checkpoint.unet().config
    ldm = to_ldm("unet", {f"{path}.weight": pair.down for (_, path), pair in unet.items()}, config)
    names = [name.removeprefix("model.diffusion_model.").removesuffix(".weight") for name in ldm]
    assert "input_blocks.3.1.proj_in" in names
    assert "middle_block.1.transformer_blocks.0.attn1.to_q" in names
    theirs = {("unet", name): pair for name, pair in zip(names, unet.values(), strict=True)}
    found = weights(checkpoint, LoraSpec(save(tmp_path / "ldm.safetensors", kohya(theirs))))
    ours = save(tmp_path / "ours.safetensors", kohya(unet))
    assert_same(found, weights(checkpoint, LoraSpec(ours)))


def test_matrices_may_stand_for_convolutions_of_one_pixel(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], tmp_path: Path
) -> None:
    (key, pair), *_ = ((k, p) for k, p in lora.items() if p.down.shape[2:] == (1, 1))
    flat = Pair(pair.down.flatten(1), pair.up.flatten(1))
    files = [
        save(tmp_path / f"{i}.safetensors", kohya({key: one})) for i, one in enumerate([pair, flat])
    ]
    assert_same(*(weights(tiny_checkpoint, LoraSpec(file)) for file in files))


def test_several_add_up_and_the_opposite_takes_one_away(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], kohya_file: Path, tmp_path: Path
) -> None:
    plain = weights(tiny_checkpoint)
    there_and_back = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.5), LoraSpec(kohya_file, -0.5))
    twice = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.25), LoraSpec(kohya_file, 0.5))
    once = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.75))
    for key, weight in plain.items():
        torch.testing.assert_close(there_and_back[key], weight, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(twice[key], once[key], atol=1e-6, rtol=1e-5)


def test_pefts_alphas_are_read_layer_by_layer(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], tmp_path: Path
) -> None:
    """`rank` is 4, so that the root is 2."""
    unet = of_part(lora, "unet")
    path = next(path for _, path in unet if path.endswith("to_q"))
    asked = save_peft(tmp_path / "a", unet, alpha_pattern={path: 12.0}, use_rslora=True)
    plain, found = weights(tiny_checkpoint), weights(tiny_checkpoint, LoraSpec(asked))
    for (_, name), pair in unet.items():
        product = torch.einsum("or...,ri...->oi...", pair.up, pair.down)
        key = ("unet", f"{name}.weight")
        factor = (12.0 if name == path else ALPHA) / math.sqrt(RANK)
        torch.testing.assert_close(found[key], plain[key] + factor * product)
    bad = save_peft(tmp_path / "b", unet, alpha_pattern={"(a+)+": 12.0})
    with pytest.raises(UnsupportedError, match=r"alpha_pattern has the expression '\(a\+\)\+'"):
        weights(tiny_checkpoint, LoraSpec(bad))
    bad = save_peft(tmp_path / "c", unet, lora_alpha="much")
    with pytest.raises(ArtifactError, match="lora_alpha is 'much'; expected a finite number"):
        weights(tiny_checkpoint, LoraSpec(bad))


@pytest.fixture(scope="module")
def exported(kohya_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset `tiny` with the LoRA and defaults for it, through the command line."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    options = ["--random", "tiny", "--format", "onnx", "--lora", f"{kohya_file}:{WEIGHT}"]
    options += ["--sampler", "TCDScheduler", "-O", "eta=0.5", "--spacing", "trailing"]
    options += ["--steps", "3", "--guidance-scale", "3"]
    done = CliRunner().invoke(export_command, [*options, str(folder)], catch_exceptions=False)
    assert f"with style.safetensors:{WEIGHT}" in done.output
    return folder


def attach(networks: TorchNetworks, lora: dict[Key, Pair], scale: float) -> None:
    """The LoRA beside the layers, as trainers run it."""

    def hook(pair: Pair) -> Callable[..., torch.Tensor]:
        def added(module: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            if pair.down.ndim == 4:
                low = F.conv2d(inputs[0], pair.down, None, module.stride, module.padding)
                return output + scale * F.conv2d(low, pair.up)
            return output + scale * F.linear(F.linear(inputs[0], pair.down), pair.up)

        return added

    for (part, path), pair in lora.items():
        getattr(networks, part).get_submodule(path).register_forward_hook(hook(pair))


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
def test_the_picture_is_that_of_diffusers_with_the_lora_beside_its_layers(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], exported: Path
) -> None:
    networks = TorchNetworks.of(tiny_checkpoint)
    pipes = {"onnxruntime": sdrt.load(exported, backend="onnxruntime", precision="fp32")}
    scheduler = make_scheduler("ddim", tiny_checkpoint.configs["scheduler"])
    without, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(without, ours) < 35
    attach(networks, lora, WEIGHT * ALPHA / RANK)
    theirs, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 50


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
def test_the_picture_is_that_of_diffusers_with_peft(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path, exported: Path
) -> None:
    """As diffusers loads LoRAs itself, which takes PEFT."""
    networks = TorchNetworks.of(tiny_checkpoint)
    loader = StableDiffusionPipeline(
        **{"vae": networks.vae, "text_encoder": networks.text_encoder, "unet": networks.unet},
        **dict.fromkeys(("tokenizer", "safety_checker", "feature_extractor")),
        scheduler=make_scheduler("ddim", tiny_checkpoint.configs["scheduler"]),
        requires_safety_checker=False,
    )
    loader.load_lora_weights(kohya_file.parent, weight_name=kohya_file.name, adapter_name="style")
    loader.set_adapters("style", WEIGHT)
    pipes = {"onnxruntime": sdrt.load(exported, backend="onnxruntime", precision="fp32")}
    theirs, (ours,) = compare(networks, pipes, loader.scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 50


def test_the_manifest_says_what_was_merged(exported: Path, kohya_file: Path) -> None:
    (record,) = open_artifact(exported).manifest.source.loras
    assert record.model_dump() == {
        "file": "style.safetensors",
        "sha256": sha256(kohya_file),
        "weight": WEIGHT,
    }
    assert f"with the LoRA style.safetensors, weight {WEIGHT}" in describe_model(str(exported))[1]


def test_the_models_defaults_are_what_was_asked_for(exported: Path) -> None:
    manifest = open_artifact(exported).manifest
    assert manifest.schedule.spacing == "trailing"
    assert manifest.defaults.model_dump() == {
        **read_preset("tiny")[1].defaults.model_dump(),
        "sampler": "tcd",
        "sampler_options": {"eta": 0.5},
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
    }


def tiny_options(**options: Any) -> ExportOptions:
    return ExportOptions(random="tiny", quiet=True, **options)


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ({"sampler": "lcn"}, "unknown sampler 'lcn'.* did you mean 'lcm'"),
        ({"steps": 0}, "steps is 0; expected a whole number from 1"),
        ({"guidance_scale": -1.0}, "guidance scale is -1.0; expected a finite number"),
        ({"sampler": "euler", "sampler_options": {"eta": 1}}, "sampler euler has no option 'eta'"),
        ({"size": (64, 65)}, "height is 65; expected a multiple of 8"),
    ],
)
def test_defaults_that_cannot_be_are_refused_before_the_work(
    tmp_path: Path, default: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_export([tmp_path / "a"], tiny_options(defaults=DefaultOptions(**default)))
    with pytest.raises(UsageError, match="unknown spacing 'tailing'"):
        run_export([tmp_path / "a"], tiny_options(source=SourceOptions(spacing="tailing")))
    assert not list(tmp_path.iterdir())


def test_int8_is_made_from_the_merged_weights(exported: Path, tmp_path: Path) -> None:
    options = ExportOptions(
        precision="int8",
        formats="onnx",
        int8=Int8Options(calibration_samples=1, calibration_steps=1, publish_anyway=True),
        defaults=DefaultOptions(steps=7),
        quiet=True,
    )
    report = run_export([exported, tmp_path / "int8"], options)
    defaults = open_artifact(exported).manifest.defaults
    assert report.manifest.defaults == defaults.model_copy(update={"num_inference_steps": 7})
    assert report.manifest.source == open_artifact(exported).manifest.source
    assert report.record()["loras"][0]["weight"] == WEIGHT


@pytest.mark.parametrize("weight", ["nan", "inf", "1e999", "much", ""])
def test_a_weight_is_a_finite_number(kohya_file: Path, weight: str) -> None:
    with pytest.raises(UsageError, match=f"the weight is '{weight}'; expected a finite number"):
        LoraSpec.parse(f"{kohya_file}:{weight}")


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a:1"
    path.touch()
    assert LoraSpec.parse(str(path)) == LoraSpec(path, 1.0)
    assert LoraSpec.parse(f"{path}:-2") == LoraSpec(path, -2.0)


UNET = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
XL = "lora_unet_mid_block_attentions_0_transformer_blocks_3_attn2_to_k"


def pair(down: tuple[int, ...], up: tuple[int, ...], name: str = UNET) -> Tensors:
    return {
        f"{name}.lora_down.weight": torch.ones(down),
        f"{name}.lora_up.weight": torch.ones(up),
    }


GOOD = pair((4, 16), (32, 4))
NAN = torch.full((32, 4), float("nan"))


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        (GOOD | pair((4, 8), (8, 4), "lora_unet_nowhere"), ArtifactError, "2 of 4 tensors belong "
         "to no layer of the model: lora_unet_nowhere.lora_down.weight, lora_unet_nowhere.lora_up"),
        (GOOD | {f"{UNET}.weight": torch.ones(1)}, ArtifactError, f"1 of 3 .* {UNET}.weight"),
        ({}, ArtifactError, "holds no tensors"),
        ({f"{UNET}.lora_up.weight": torch.ones(32, 4)}, ArtifactError, "lack the other half"),
        (GOOD | pair((4, 16), (32, 4), "unet.mid_block.attentions.0.transformer_blocks.0.attn2"
         ".processor.to_k"), ArtifactError, "are for the same layer"),
        (pair((4, 17), (32, 4)), UsageError, "does not belong to this model: 1 of 1 layers have "
         r"another shape \(.* is 4x17 with 32x4, the layer is 32x16\); give another"),
        (pair((4, 16), (32, 5)), UsageError, "does not belong to this model"),
        (pair((0, 16), (32, 0)), UsageError, "does not belong to this model"),
        (pair((4, 16, 3, 3), (32, 4, 1, 1)), UsageError, "does not belong to this model"),
        (pair((4, 768), (320, 4)), UsageError, "it is a LoRA of Stable Diffusion 1"),
        (pair((4, 1024), (320, 4)), UsageError, "it is a LoRA of Stable Diffusion 2"),
        (pair((4, 2048), (640, 4)), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (pair((4, 16), (32, 4), XL), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (pair((4, 2048), (640, 4), XL), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (GOOD | pair((4, 8), (8, 4), "lora_te2_text_model_encoder_layers_0_mlp_fc1"),
         UsageError, "it is a LoRA of Stable Diffusion XL .lora_te2_"),
        (pair((4, 16), (32, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UsageError, "it is a LoRA of Stable Diffusion XL .lora_te1_"),
        (pair((4, 8), (8, 4), "lora_unet_double_blocks_0_img_attn_qkv")
         | pair((4, 16), (32, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UnsupportedError, "is a LoRA of Flux"),
        (pair((4, 8), (8, 4), "lora_unet_joint_blocks_0_x_block_attn_qkv"),
         UnsupportedError, "is a LoRA of Stable Diffusion 3"),
        ({"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 8)},
         UnsupportedError, "is a LoRA of a transformer"),
        ({f"{UNET}.hada_w1_a": torch.ones(4, 4)}, UnsupportedError, "holds LoHa .*not supported"),
        ({f"{UNET}.lokr_w1": torch.ones(4, 4)}, UnsupportedError, "holds LoKr .*not supported"),
        (GOOD | {f"{UNET}.dora_scale": torch.ones(32, 1)}, UnsupportedError,
         f"holds DoRA .*{UNET}.dora_scale, which is not supported"),
        (GOOD | {f"{UNET}.lora_mid.weight": torch.ones(4, 4, 3, 3)}, UnsupportedError, "LoCon"),
        (GOOD | {"bundle_emb.ink.clip_g": torch.ones(4)}, UnsupportedError, "embeddings in the"),
        (GOOD | {f"{UNET}.alpha": torch.ones(2)}, ArtifactError, "alpha is no single number"),
        (GOOD | {f"{UNET}.alpha": torch.tensor(float("inf"))}, ArtifactError, "alpha has values"),
        (GOOD | {f"{UNET}.lora_up.weight": NAN}, ArtifactError, "up.weight has values"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_said(
    tiny_checkpoint: RandomCheckpoint,
    tmp_path: Path,
    tensors: Tensors,
    error: type[SdrtError],
    message: str,
) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=message):
        weights(tiny_checkpoint, LoraSpec(file))


TWO = "lora_unet_up_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
ONE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        (pair((4, 768), (320, 4), ONE), UsageError,
         f"does not belong to this model: it is a LoRA of Stable Diffusion 1 .{ONE}"),
        (pair((4, 1024), (320, 4), TWO), UsageError, "it is a LoRA of Stable Diffusion 2"),
        (pair((4, 1280), (320, 4), TWO), UsageError, "of Stable Diffusion XL's refiner"),
        (pair((4, 64), (128, 4), "lora_te_text_model_encoder_layers_0_mlp_fc1"), UsageError,
         "it is a LoRA of Stable Diffusion 1 or 2 .lora_te_text"),
        (pair((4, 64), (128, 4), "lora_te1_text_model_encoder_layers_9_mlp_fc1"), ArtifactError,
         "2 of 2 tensors belong to no layer of the model"),
        (pair((4, 64), (128, 4), "lora_te2_text_model_encoder_layers_0_mlp_fc1"), UsageError,
         "4x64 with 128x4, the layer is 256x128.; give another"),
        (pair((4, 64), (64, 4), "lora_unet_joint_blocks_0_x_block_attn_qkv")
         | pair((4, 64), (128, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UnsupportedError, "is a LoRA of Stable Diffusion 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_two_text_encoders_is_said(
    tmp_path: Path, tensors: Tensors, error: type[SdrtError], message: str
) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=message):
        with_loras(RandomCheckpoint.of(*read_preset("tiny-sdxl")), [LoraSpec(file)])


def test_the_family_of_real_sizes_is_told(tmp_path: Path) -> None:
    """Layers that fit the model do not make a LoRA with others one of another family."""
    checkpoint = RandomCheckpoint.of(*read_preset("sdxl"))
    name = "lora_unet_up_blocks_0_attentions_0_transformer_blocks_9_attn2_to_k"
    right = pair((4, 2048), (1280, 4), name)
    assert with_loras(checkpoint, [LoraSpec(save(tmp_path / "a.safetensors", right))]).adapters
    file = save(tmp_path / "b.safetensors", right | pair((4, 8), (8, 4), "lora_unet_nowhere"))
    with pytest.raises(ArtifactError, match="2 of 4 tensors belong to no layer of the model"):
        with_loras(checkpoint, [LoraSpec(file)])


def test_only_whole_safetensors_files_are_read(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(kohya_file.read_bytes()[:-100])
    pickled = tmp_path / "a.pt"
    torch.save(GOOD, pickled)
    for path, message in (
        (tmp_path / "none.safetensors", "is nothing: the path does not exist"),
        (tmp_path, "expected a LoRA as a .safetensors file"),
        (pickled, "is a pickled checkpoint; expected a LoRA as a .safetensors file"),
        (torn, "is no whole safetensors file"),
    ):
        with pytest.raises(ArtifactError, match=message):
            with_loras(tiny_checkpoint, [LoraSpec(path)])
    text = save(tmp_path / "m.safetensors", GOOD, lora_adapter_metadata=[1])
    with pytest.raises(ArtifactError, match="lora_adapter_metadata is no JSON object"):
        with_loras(tiny_checkpoint, [LoraSpec(text)])


def test_a_lora_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", pair((4, 768), (320, 4)))
    source = SourceOptions(lora=(str(file),))
    with pytest.raises(UsageError, match="it is a LoRA of Stable Diffusion 1"):
        run_export([tmp_path / "out"], tiny_options(source=source))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("options", [["--precision", "int8"], ["--single-graph"]])
def test_a_model_folder_takes_no_lora(
    exported: Path, kohya_file: Path, tmp_path: Path, options: list[str]
) -> None:
    arguments = [str(exported), str(tmp_path / "out"), "--lora", str(kohya_file), *options]
    done = CliRunner().invoke(export_command, arguments)
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "out").exists()


def test_it_stays_with_a_checkpoint_whose_settings_change(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path
) -> None:
    """As export changes them, once the weights have shown what they predict."""
    both = with_loras(tiny_checkpoint, [LoraSpec(kohya_file)])
    later = replace(both.with_scheduler(prediction_type="epsilon"), name="other")
    assert later.adapters == both.adapters
    assert later.source.loras == both.source.loras
