"""Compares sdrt's images with those of diffusers: each family, task, engine and precision.

    python -m sdrt_bench.docs.family_parity [PRESET ...] [--into docs/export/families.md]

Each preset's geometry gets random weights, once for diffusers' pipelines, which run them in fp32,
and once for exports in fp32, bf16 and int8. Prompt, noise, scheduler and steps are the same. Random
weights are harder to round than trained ones, and show what a pipeline does as well.

A document gets each preset's rows as soon as they are there, and keeps those of other presets.
"""

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from PIL import Image
from transformers import CLIPTextModel

import sdrt
from sdrt import validation
from sdrt.files.atomic import whole_file
from sdrt.manifest import Precision
from sdrt_bench.docs.markdown_blocks import block_content, read_document, with_marked
from sdrt_bench.docs.scheduler_variants import scheduler_class
from sdrt_bench.similarity import Pixels, psnr_db
from sdrt_export.exporter import export
from sdrt_export.presets import Preset, read_preset
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.random_weights import RandomCheckpoint

PROMPT, SEED, STEPS = "a boat, at 7", 3, 6
HEIGHT, WIDTH = 80, 64  # not equal, so that mixing them up shows
ENGINES: Mapping[str, tuple[Precision, ...]] = {
    "onnxruntime": ("fp32", "int8"),  # it computes bf16 files in fp32
    "openvino": ("fp32", "bf16", "int8"),
}
PRESETS = (
    *("tiny", "tiny-sd2", "tiny-sd2-v", "tiny-sdxl", "tiny-sd-turbo"),
    *("tiny-lcm", "tiny-inpaint", "tiny-instruct", "tiny-depth", "tiny-sdxl-refiner"),
)
FLOATS: tuple[Precision, ...] = ("fp32", "bf16")
MARK = "families"
Options = dict[str, Any]


@dataclass(frozen=True)
class TaskPair:
    """One task, and the options of diffusers and of sdrt for it."""

    name: str
    pipeline: str
    theirs: Options = field(default_factory=dict)
    ours: Options = field(default_factory=dict)


def modes(preset: str) -> list[TaskPair]:
    """Give the tasks of a preset's model, with the pipelines of diffusers for them."""
    size = {"width": WIDTH, "height": HEIGHT}
    image = {"image": picture(), "strength": 0.7}
    masked = {**image, "mask_image": mask(), **size}
    under_mask = {**image, "mask": mask(), "paste": False}
    xl = "XL" if "sdxl" in preset else ""
    text = TaskPair("text to image", f"StableDiffusion{xl}Pipeline", size, size)
    change = TaskPair("image to image", f"StableDiffusion{xl}Img2ImgPipeline", image, image)
    inpaint = TaskPair("inpainting", f"StableDiffusion{xl}InpaintPipeline", masked, under_mask)
    if "inpaint" in preset:
        return [inpaint]
    if "instruct" in preset:
        edit = {"image": picture(), "image_guidance_scale": 1.5}
        return [TaskPair("edit", "StableDiffusionInstructPix2PixPipeline", edit, edit)]
    if "depth" in preset:
        hill = depth_map()
        theirs = {**image, "depth_map": torch.from_numpy(hill)[None]}
        pipeline = "StableDiffusionDepth2ImgPipeline"
        return [TaskPair("depth to image", pipeline, theirs, {**image, "depth": hill})]
    if "lcm" in preset:
        return [
            TaskPair(text.name, "LatentConsistencyModelPipeline", size, size),
            TaskPair(change.name, "LatentConsistencyModelImg2ImgPipeline", image, image),
        ]
    if "turbo" in preset:
        return [text]
    return [change] if "refiner" in preset else [text, change, inpaint]


def picture() -> Image.Image:
    """Draw an image whose shades differ from side to side."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    shades = np.stack([rows * 3, columns * 4, 255 - rows - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


def mask() -> Image.Image:
    """Draw a mask of whole blocks of 8 pixels, where diffusers' mask is exact, too."""
    shades = np.zeros((HEIGHT, WIDTH), np.uint8)
    shades[16:56, 24:48] = 255
    return Image.fromarray(shades)


def depth_map() -> np.ndarray:
    """Raise a hill, in numbers of no particular range."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray(900 - 12.5 * np.hypot(rows - 30, columns - 20), np.float32)


def diffusers_pipeline(checkpoint: Checkpoint, name: str) -> Any:
    """Make a pipeline of diffusers with a checkpoint's weights and scheduler."""
    config = checkpoint.configs["scheduler"]
    scheduler = scheduler_class(config.get("_class_name", "DDIMScheduler"))
    parts: dict[str, Any] = {
        "vae": checkpoint.vae(),
        "unet": checkpoint.unet(),
        "scheduler": scheduler.from_config(config),
        "safety_checker": None,
        "feature_extractor": None,
        "depth_estimator": None,
        "requires_safety_checker": False,
        "add_watermarker": False,
        "requires_aesthetics_score": checkpoint.text_encoders == ("text_encoder_2",),
        "force_zeros_for_empty_prompt": checkpoint.zeros_for_empty_prompt,
        "text_encoder": None,
        "tokenizer": None,
    }
    for encoder in checkpoint.text_encoders:
        parts[encoder] = checkpoint.network(encoder)
        parts[encoder.replace("text_encoder", "tokenizer")] = checkpoint.tokenizer(encoder)
    cls = getattr(diffusers, name)
    taken = inspect.signature(cls).parameters
    pipe = cls(**{name: part for name, part in parts.items() if name in taken})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def paint_with_diffusers(checkpoint: Checkpoint, mode: TaskPair, options: Options) -> Pixels:
    """Paint an image with diffusers."""
    generator = torch.Generator("cpu").manual_seed(SEED)
    # diffusers looks for the network where older versions of transformers have it.
    with patch.object(CLIPTextModel, "text_model", property(lambda self: self), create=True):
        pipe = diffusers_pipeline(checkpoint, mode.pipeline)
        result = pipe(PROMPT, generator=generator, output_type="np", **options, **mode.theirs)
    pixels: Pixels = (result.images[0] * 255).round().astype(np.uint8)
    return pixels


def export_all(checkpoint: Checkpoint, folder: Path, preset: Preset) -> dict[Precision, Path]:
    """Export in each precision; int8 also below its floor, which random weights may not reach."""
    exports: dict[Precision, Path] = {
        precision: export(checkpoint, folder / precision, precision, defaults=preset.defaults).path
        for precision in FLOATS
    }
    settings = Int8Settings(publish_anyway=True)
    return {
        **exports,
        "int8": export(exports["fp32"], folder / "int8", "int8", settings=settings).path,
    }


def rows(name: str, preset: Preset, folder: Path) -> Iterator[list[str]]:
    """Measure the table's rows of one preset: PSNR of each engine in each precision."""
    checkpoint = RandomCheckpoint.from_preset(name, preset)
    options: Options = {
        "num_inference_steps": min(STEPS, preset.defaults.num_inference_steps),
        "guidance_scale": preset.defaults.guidance_scale,
    }
    artifacts = export_all(checkpoint, folder, preset)
    config = checkpoint.configs["scheduler"]
    for mode in modes(name):
        expected = paint_with_diffusers(checkpoint, mode, options)
        figures = []
        for engine, precisions in ENGINES.items():
            for precision in precisions:
                pipe = sdrt.load(artifacts[precision], backend=engine, precision=precision)
                result = pipe(PROMPT, seed=SEED, scheduler_config=config, **options, **mode.ours)
                figures.append(f"{psnr_db(expected, np.asarray(result.images[0])):.1f}")
        yield [name, mode.name, *figures]


def table(rows_of: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Write all rows as Markdown."""
    columns = [f"{engine} {precision}" for engine, some in ENGINES.items() for precision in some]
    lines = [["preset", "mode", *columns], ["---"] * (2 + len(columns))]
    for name in PRESETS:
        lines += map(list, rows_of.get(name, ()))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows_in(document: str) -> dict[str, list[list[str]]]:
    """Read the rows of a document, by their preset."""
    rows: dict[str, list[list[str]]] = {}
    for line in block_content(document, MARK).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in PRESETS:
            rows.setdefault(cells[0], []).append(cells)
    return rows


def main() -> None:
    """Paint with both, and print the table or write it into a document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--into", type=Path, help="a document with marks around its table")
    args = parser.parse_args()
    for name in args.presets:
        validation.known("preset", name, PRESETS)
    rows_of = rows_in(read_document(args.into)) if args.into else {}
    for name in args.presets:
        with TemporaryDirectory() as folder:
            rows_of[name] = list(rows(*read_preset(name), Path(folder)))
        if args.into:
            text = with_marked(read_document(args.into), MARK, table(rows_of))
            with whole_file(args.into) as partial:
                partial.write_text(text, encoding="utf-8")
    if not args.into:
        print(table(rows_of), end="")


if __name__ == "__main__":
    main()
