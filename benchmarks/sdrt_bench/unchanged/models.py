"""The small models that are recorded with: made once, and kept for all recordings to compare."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sdrt_bench.unchanged.inputs import write_inputs
from sdrt_bench.unchanged.interpreter import Interpreter

# What `sdrt export` is given besides the destination; {models} is the folder of all of them.
EXPORTS = {
    "tiny": ("--random", "tiny", "--tiny-vae", "{models}/taesd"),
    "tiny-bf16": ("--random", "tiny", "--precision", "bf16"),
    "tiny-sdxl": ("--random", "tiny-sdxl"),
    "tiny-sdxl-refiner": ("--random", "tiny-sdxl-refiner"),
    "tiny-inpaint": ("--random", "tiny-inpaint", "--format", "onnx"),
    "tiny-instruct": ("--random", "tiny-instruct", "--format", "onnx"),
    "tiny-lcm": ("--random", "tiny-lcm", "--format", "onnx"),
    "tiny-sd2-v": ("--random", "tiny-sd2-v", "--format", "onnx"),
    "demo-int8": (
        *("demo", "--precision", "int8", "--calibration-samples", "3"),
        *("--calibration-steps", "4"),
    ),
}

TEXT_ENCODER = {
    "vocab_size": 514,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 16,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "bos_token_id": 512,
    "eos_token_id": 513,
    "pad_token_id": 513,
}
UNET = {
    "sample_size": 8,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
VAE = {
    "sample_size": 64,
    "block_out_channels": (16, 16, 32, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
TINY_VAE = {
    "encoder_block_out_channels": (16,) * 4,
    "decoder_block_out_channels": (16,) * 4,
    "num_encoder_blocks": (1,) * 4,
    "num_decoder_blocks": (1,) * 4,
    "scaling_factor": 2.0,
}


def make_models(folder: Path, interpreter: Interpreter, tell: Callable[[str], object]) -> None:
    """Make what is missing, and write the inputs again; `tell` is given a line for each model.

    Needs the extra `export`, here and in the interpreter. Raises `RuntimeError` if an export fails.
    """
    write_inputs(folder / "inputs")
    _make(folder / "taesd", _write_tiny_vae, tell)
    _make(folder / "demo", partial(_copy_embedded, interpreter=interpreter), tell)
    for name, arguments in EXPORTS.items():
        words = [word.replace("{models}", str(folder)) for word in arguments]
        _make(folder / name, partial(_export, arguments=words, interpreter=interpreter), tell)
    tiny = folder / "tiny"
    _make(folder / "tiny-foreign", partial(_copy_as_foreign, model=tiny), tell)
    _make(folder / "tiny-damaged", partial(_copy_damaged, model=tiny), tell)
    _make(folder / "tiny-future", partial(_copy_of_future, model=tiny), tell)
    _make(folder / "source", partial(_write_checkpoint, tokenizer=tiny / "tokenizer"), tell)


def _make(folder: Path, write: Callable[[Path], object], tell: Callable[[str], object]) -> None:
    if folder.exists():
        return
    tell(f"making {folder.name}")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    partial.rename(folder)


def _export(folder: Path, arguments: list[str], interpreter: Interpreter) -> None:
    command = [*interpreter.sdrt, "export", *arguments, str(folder), "--quiet"]
    interpreter.run(command, folder.parent, check=True)


def _copy_embedded(folder: Path, interpreter: Interpreter) -> None:
    """The C++ host knows no embedded model and takes its path."""
    done = interpreter.run([*interpreter.sdrt, "info", "--json"], folder.parent, check=True)
    shutil.copytree(json.loads(done.stdout)["path"], folder)


def _copy_as_foreign(folder: Path, model: Path) -> None:
    """Without its manifest, an export is a folder as Optimum writes it."""
    shutil.copytree(model, folder)
    (folder / "manifest.json").unlink()


def _copy_damaged(folder: Path, model: Path) -> None:
    """One byte of the U-Net's weights is another."""
    shutil.copytree(model, folder)
    weights = folder / "unet" / "model.onnx_data"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


def _copy_of_future(folder: Path, model: Path) -> None:
    """The manifest has a schema that no sdrt knows."""
    shutil.copytree(model, folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "schema": 1000}))


def _write_tiny_vae(folder: Path) -> None:
    """A tiny autoencoder for the latents of the preset `tiny`, with random weights."""
    import torch
    from diffusers import AutoencoderTiny

    torch.manual_seed(3)
    AutoencoderTiny(**TINY_VAE).save_pretrained(folder)


def _write_checkpoint(folder: Path, tokenizer: Path) -> None:
    """A checkpoint in diffusers' layout, with random weights, to be exported."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(9)
    StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT_ENCODER)),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizer),
        unet=UNet(**UNET),
        scheduler=DDIMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
