"""The small files that make an artifact look like a diffusers folder, so that peers open it."""

from typing import Any

from sdrt_export.artifact import Stage
from sdrt_export.checkpoint import TOKENIZERS, Checkpoint

CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
OTHERS: dict[str, Any] = {"safety_checker": [None, None], "feature_extractor": [None, None]}
XL_CLASSES = {
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}
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
        index = {"_class_name": _pipeline(checkpoint), **index, **OTHERS}
    stage.write_json("model_index.json", index)
    stage.write_json("scheduler/scheduler_config.json", scheduler)
    for encoder in checkpoint.text_encoders:
        checkpoint.tokenizer(encoder).save_pretrained(stage.folder / TOKENIZERS[encoder])


def _pipeline(checkpoint: Checkpoint) -> str:
    """The class of diffusers that runs such a model; of some there is only one."""
    xl = "XL" if checkpoint.family == "sdxl" else ""
    if checkpoint.conditions == checkpoint.latent.channels + 1:
        return f"StableDiffusion{xl}InpaintPipeline"
    if checkpoint.conditions:
        return "StableDiffusionInstructPix2PixPipeline"
    if checkpoint.has_guidance_inside and not xl:
        return "LatentConsistencyModelPipeline"
    return f"StableDiffusion{xl}Pipeline"
