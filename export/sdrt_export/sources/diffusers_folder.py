"""A checkpoint in diffusers' layout."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTokenizer,
)

from sdrt.artifact.detect import describe
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.json_file import read_json
from sdrt.manifest import Source
from sdrt_export.sources.checkpoint import (
    BUILD,
    LOAD,
    PICTURE_NUMBERS,
    TOKENIZERS,
    Checkpoint,
    Settings,
    is_xl,
    other_inputs,
    picture_numbers,
)

PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionInstructPix2PixPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
XL_PIPELINES = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
)
_TOKENIZER = ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast"))
XL_CLASSES = {
    "text_encoder_2": ("transformers", ("CLIPTextModelWithProjection",)),
    "tokenizer_2": _TOKENIZER,
}
FIRST = ("text_encoder", "tokenizer")
CLASSES = {
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "tokenizer": _TOKENIZER,
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
}
SCHEDULER = re.compile(r"[A-Za-z]+Scheduler")
WEIGHTS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}


@dataclass(frozen=True)
class FolderCheckpoint(Checkpoint):
    """A folder in diffusers' layout, with safetensors weights."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "FolderCheckpoint":
        """Check that the folder holds a model of Stable Diffusion 1, 2 or XL; loads no weights."""
        index = read_json(root / "model_index.json")
        if not isinstance(index, dict) or not describe(root).startswith("a diffusers checkpoint"):
            raise ArtifactError(
                f"{root} is {describe(root)}; expected a diffusers folder of Stable Diffusion"
            )
        listed = _check_index(root, index)
        configs = {part: _config(root / part / "config.json") for part in BUILD if part in listed}
        configs["scheduler"] = _config(root / "scheduler" / "scheduler_config.json")
        _check_architecture(root, configs)
        name = root.resolve().name
        zeros = is_xl(configs["unet"]) and bool(index.get("force_zeros_for_empty_prompt", True))
        return cls(name, Source(id=name), configs, root, zeros_for_empty_prompt=zeros)

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """Load the tokenizer of a text encoder."""
        name = TOKENIZERS[encoder]
        with self._explained(name):
            return CLIPTokenizer.from_pretrained(self.root / name, local_files_only=True)

    def network(self, part: str) -> Any:
        """Load a network in fp32."""
        cls, dtype = LOAD[part]
        with self._explained(part):
            model, report = cls.from_pretrained(
                self.root / part,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=True,
                output_loading_info=True,
                **{dtype: torch.float32},
                **self._variant(part),
            )
            _check_complete(self.root / part, report)
            return model.eval().requires_grad_(False)

    def _variant(self, part: str) -> dict[str, str]:
        """Half-precision files are taken where they are the only ones."""
        found = [path.name for path in (self.root / part).glob(f"{WEIGHTS[part]}*.safetensors")]
        return {"variant": "fp16"} if found and all(".fp16" in name for name in found) else {}

    @contextmanager
    def _explained(self, part: str) -> Iterator[None]:
        """Turn whatever a loader raises into one sentence; the loaders share no base class."""
        try:
            yield
        except (ArtifactError, MemoryError):
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise ArtifactError(
                f"cannot load {self.root / part}: {text}; expected complete safetensors weights"
            ) from error


def _check_index(root: Path, index: Settings) -> tuple[str, ...]:
    """Compare `model_index.json` with the classes that sdrt loads; nothing else is ever loaded.

    Gives the parts that the model has.
    """
    pipeline = index.get("_class_name")
    if pipeline not in (*PIPELINES, *XL_PIPELINES):
        raise UnsupportedError(
            f"{root} is a {pipeline}; sdrt exports Stable Diffusion 1, 2 and XL ({PIPELINES[0]}, "
            f"{XL_PIPELINES[0]})"
        )
    classes = {**CLASSES, **(XL_CLASSES if pipeline in XL_PIPELINES else {})}
    if pipeline in XL_PIPELINES and index.get("text_encoder") == [None, None]:
        classes = {part: one for part, one in classes.items() if part not in FIRST}  # the refiner
    for part, (library, names) in classes.items():
        found = index.get(part)
        if found is None:
            raise ArtifactError(f"{root}/model_index.json lists no {part}; the model is incomplete")
        allowed = isinstance(found, list) and len(found) == 2
        if not allowed or found[0] != library or found[1] not in names:
            raise UnsupportedError(
                f"{root} has {found!r} as {part}; expected {library}.{' or '.join(names)}"
            )
    scheduler = index.get("scheduler")
    if not isinstance(scheduler, list) or scheduler[0] != "diffusers":
        raise UnsupportedError(f"{root} has {scheduler!r} as scheduler; expected one of diffusers")
    if not SCHEDULER.fullmatch(str(scheduler[1])):
        raise UnsupportedError(f"{root} names {scheduler[1]!r} as scheduler, which is none")
    return tuple(classes)


def _check_architecture(root: Path, configs: Mapping[str, Settings]) -> None:
    """Tell Stable Diffusion 1, 2 and XL from their relatives by the configurations."""
    unet = configs["unet"]
    width = unet.get("cross_attention_dim")
    encoders = [configs[name] for name in TOKENIZERS if name in configs]
    found = None
    if is_xl(unet) and "text_encoder_2" not in configs:
        found = "Stable Diffusion XL without its second text encoder"
    elif not is_xl(unet) and "text_encoder_2" in configs:
        found = "a U-Net of Stable Diffusion 1 or 2 with two text encoders"
    elif unet.get("addition_embed_type") and not is_xl(unet):
        found = f"a U-Net with the condition {unet['addition_embed_type']!r}"
    elif unet.get("class_embed_type") or unet.get("encoder_hid_dim_type"):
        found = "an unCLIP or image-conditioned U-Net"
    elif other := other_inputs(
        unet.get("in_channels", 4), unet.get("out_channels", 4), is_xl(unet)
    ):
        found = other
    elif width != sum(encoder.get("hidden_size", 0) for encoder in encoders):
        found = f"a U-Net for embeddings of width {width} with a text encoder of another width"
    elif is_xl(unet) and (numbers := picture_numbers(configs)) != PICTURE_NUMBERS[len(encoders)]:
        found = f"a U-Net that is told {numbers:g} numbers about the picture"
    if found:
        raise UnsupportedError(f"{root} is {found}; sdrt exports Stable Diffusion 1, 2 and XL")


def _check_complete(path: Path, report: Settings) -> None:
    """Refuse weights that a loader would have filled up with random numbers."""
    for kind in ("missing_keys", "mismatched_keys"):
        if report.get(kind):
            names = sorted(map(str, report[kind]))
            raise ArtifactError(
                f"{path}: {len(names)} weights are {kind.split('_')[0]} ({names[0]}, ...); "
                "the files do not belong to this configuration"
            )


def _config(path: Path) -> Settings:
    found = read_json(path)
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} is missing or not valid JSON; the model is incomplete")
    return found
