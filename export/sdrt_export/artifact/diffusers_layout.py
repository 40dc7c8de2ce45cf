"""The small files that make an artifact look like a diffusers folder, so that peers open it."""

import json
from pathlib import Path
from typing import Any

from sdrt.artifact.diffusers_config import COMPONENTS, TOKENIZERS, XL_COMPONENTS
from sdrt_export.artifact.staging import Stage
from sdrt_export.sources.checkpoint import Checkpoint

CLASSES = {name: [library, names[0]] for name, (library, names) in COMPONENTS.items()}
XL_CLASSES = {name: [library, names[0]] for name, (library, names) in XL_COMPONENTS.items()}
OTHERS: dict[str, Any] = {"safety_checker": [None, None], "feature_extractor": [None, None]}
DEPTH_OTHERS: dict[str, Any] = {"depth_estimator": [None, None], "feature_extractor": [None, None]}
REFINER: dict[str, Any] = {
    "_class_name": "StableDiffusionXLImg2ImgPipeline",
    "text_encoder": [None, None],
    "tokenizer": [None, None],
    "requires_aesthetics_score": True,
}
XL_OTHERS: dict[str, Any] = {"image_encoder": [None, None], "feature_extractor": [None, None]}


def write_layout(stage: Stage, checkpoint: Checkpoint) -> None:
    """Write `model_index.json`, the scheduler and the tokenizers."""
    scheduler = checkpoint.configs["scheduler"]
    index: dict[str, Any] = {"scheduler": ["diffusers", scheduler["_class_name"]], **CLASSES}
    if checkpoint.family == "sdxl":
        zeros = {"force_zeros_for_empty_prompt": checkpoint.zeros_for_empty_prompt}
        index = {"_class_name": _pipeline(checkpoint), **index, **XL_CLASSES, **XL_OTHERS}
        index |= zeros
        if checkpoint.is_refiner:
            index |= REFINER
    else:
        others = DEPTH_OTHERS if checkpoint.conditions == 1 else OTHERS
        index = {"_class_name": _pipeline(checkpoint), **index, **others}
    stage.write_json("model_index.json", index)
    stage.write_json("scheduler/scheduler_config.json", scheduler)
    for encoder in checkpoint.text_encoders:
        folder = stage.folder / TOKENIZERS[encoder]
        checkpoint.tokenizer(encoder).save_pretrained(folder)
        write_old_vocabulary(folder)


def write_old_vocabulary(folder: Path) -> None:
    """Write `vocab.json` and `merges.txt`, all that the transformers of optimum-onnx reads."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")


def _pipeline(checkpoint: Checkpoint) -> str:
    """The diffusers pipeline that runs such a model."""
    xl = "XL" if checkpoint.family == "sdxl" else ""
    if checkpoint.conditions == checkpoint.latent.channels + 1:
        return f"StableDiffusion{xl}InpaintPipeline"
    if checkpoint.conditions == 1:
        return "StableDiffusionDepth2ImgPipeline"
    if checkpoint.conditions:
        return "StableDiffusionInstructPix2PixPipeline"
    if checkpoint.has_guidance_inside and not xl:
        return "LatentConsistencyModelPipeline"
    return f"StableDiffusion{xl}Pipeline"
