"""Pictures, LoRAs, textual inversions and other files that the recorded runs are given."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Tensors = Mapping[str, npt.NDArray[np.float32]]

RANK, ALPHA = 4, 6.0

# Layers by path, with the widths of their inputs and outputs; convolutions have kernels of 3x3.
DEMO_LAYERS = {
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q": (192, 192),
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_v": (128, 192),
    "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2": (768, 192),
    "down_blocks.1.resnets.0.conv1": (96, 192),
}
DEMO_TEXT_LAYERS = {
    "encoder.layers.0.self_attn.q_proj": (128, 128),
    "encoder.layers.2.mlp.fc1": (128, 512),
}
TINY_LAYERS = {
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q": (32, 32),
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (16, 32),
}
SDXL_LAYERS = {
    "mid_block.attentions.0.transformer_blocks.1.attn1.to_q": (64, 64),
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (192, 64),
}
SDXL_TEXT_LAYERS = (
    {"encoder.layers.1.self_attn.v_proj": (64, 64)},
    {"encoder.layers.2.mlp.fc2": (256, 128)},
)

STYLES = [
    {"name": "ink", "prompt": "ink drawing of {prompt}, on paper", "negative_prompt": "photograph"}
]
SCHEDULER_CONFIG = {
    "_class_name": "DPMSolverMultistepScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "algorithm_type": "dpmsolver++",
    "solver_order": 3,
    "use_karras_sigmas": True,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def write_inputs(folder: Path) -> None:
    """Write all of them; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_pictures(folder)
    (folder / "styles.json").write_text(json.dumps(STYLES))
    (folder / "scheduler_config.json").write_text(json.dumps(SCHEDULER_CONFIG))
    (folder / "prompts.txt").write_text("a red boat on the sea\na white cat on the grass at noon\n")
    rng = np.random.default_rng(20)
    write_safetensors(
        folder / "demo-kohya.safetensors",
        {
            **_kohya("lora_unet_", DEMO_LAYERS, rng),
            **_kohya("lora_te_text_model_", DEMO_TEXT_LAYERS, rng),
        },
    )
    write_safetensors(folder / "demo-diffusers.safetensors", _diffusers(DEMO_LAYERS, rng))
    write_safetensors(folder / "tiny-kohya.safetensors", _kohya("lora_unet_", TINY_LAYERS, rng))
    first, second = SDXL_TEXT_LAYERS
    write_safetensors(
        folder / "sdxl-kohya.safetensors",
        {
            **_kohya("lora_unet_", SDXL_LAYERS, rng),
            **_kohya("lora_te1_text_model_", first, rng),
            **_kohya("lora_te2_text_model_", second, rng),
        },
    )
    vectors = {"emb_params": _normal(rng, 2, 128)}
    write_safetensors(folder / "ink-style.safetensors", vectors)
    vectors = {"clip_l": _normal(rng, 2, 64), "clip_g": _normal(rng, 2, 128)}
    write_safetensors(folder / "ink-xl.safetensors", vectors)
    unknown = {"lora_unet_no_such_layer.lora_down.weight": _normal(rng, RANK, 8)}
    write_safetensors(folder / "unknown-layer.safetensors", unknown)


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Write fp32 tensors in the format of the library of that name, without the library."""
    header: dict[str, object] = {}
    data = b""
    for name, tensor in tensors.items():
        content = np.ascontiguousarray(tensor, "<f4").tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def _write_pictures(folder: Path) -> None:
    rows, columns = np.mgrid[0:128, 0:128]
    shades = np.stack([rows * 2, columns * 2, 255 - rows - columns], axis=2).astype(np.uint8)
    shades[40:90, 30:80] = (200, 40, 30)
    picture = Image.fromarray(shades)
    picture.save(folder / "picture.png")
    picture.resize((64, 64)).save(folder / "small.png")
    mask = np.zeros((128, 128), np.uint8)
    mask[24:104, 40:120] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask).resize((64, 64), Image.Resampling.NEAREST).save(folder / "small-mask.png")
    transparent = picture.convert("RGBA")
    transparent.putalpha(Image.fromarray((rows * 2).astype(np.uint8)))
    transparent.save(folder / "transparent.png")
    rotated = Image.Exif()
    rotated[0x0112] = 6  # turned by a quarter
    wide = picture.resize((200, 136))
    wide.save(folder / "rotated.jpg", quality=90, exif=rotated.tobytes())


def _normal(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32) * np.float32(0.1)


def _pair(
    path: str, widths: tuple[int, int], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Both matrices of a layer's change: (rank, inputs, ...) and (outputs, rank, ...)."""
    inputs, outputs = widths
    is_convolution = path.endswith("conv1")
    kernel, single = ((3, 3), (1, 1)) if is_convolution else ((), ())
    return _normal(rng, RANK, inputs, *kernel), _normal(rng, outputs, RANK, *single)


def _kohya(
    start: str, layers: Mapping[str, tuple[int, int]], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    tensors = {}
    for path, widths in layers.items():
        name = start + path.replace(".", "_")
        down, up = _pair(path, widths, rng)
        tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"] = down, up
        tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
    return tensors


def _diffusers(
    layers: Mapping[str, tuple[int, int]], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    tensors = {}
    for path, widths in layers.items():
        down, up = _pair(path, widths, rng)
        tensors[f"unet.{path}.lora.down.weight"] = down
        tensors[f"unet.{path}.lora.up.weight"] = up
    return tensors
