"""The small files that make an artifact look like a diffusers folder, so that peers open it."""

from typing import Any

from sdrt_export.artifact import Stage
from sdrt_export.checkpoint import Checkpoint

CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
}


def write_layout(stage: Stage, checkpoint: Checkpoint) -> None:
    """Write `model_index.json`, the scheduler and the tokenizer."""
    scheduler = checkpoint.configs["scheduler"]
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", scheduler["_class_name"]],
        **CLASSES,
    }
    stage.write_json("model_index.json", index)
    stage.write_json("scheduler/scheduler_config.json", scheduler)
    checkpoint.tokenizer().save_pretrained(stage.folder / "tokenizer")
