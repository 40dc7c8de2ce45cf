"""Where weights come from: a diffusers folder, or random numbers (one file: `sdrt_export.ldm`).

A checkpoint hands out one network at a time, so that export never holds two of them. No model
repository chooses code: classes are named here, `model_index.json` is only compared with them.
"""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.foreign import describe, read_json
from sdrt.lora.adapter import Adapter
from sdrt.manifest import Defaults, Family, Latent, Precision, Prediction, Schedule, Source
from sdrt.scheduler_config import read_recipe, read_schedule
from sdrt_export.config import CLASS, DEFAULT_SCHEDULER, Preset
from sdrt_export.vocabulary import CLIP_IDS, END, PADDING, byte_tokenizer, clip_tokenizer

Settings = dict[str, Any]

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
TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""Text encoders, in the order in which the U-Net takes what they say, and their tokenizers."""
WEIGHTS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}


@dataclass(frozen=True)
class Checkpoint(ABC):
    """A Stable Diffusion model in torch, with the configuration of each of its parts."""

    name: str
    source: Source
    configs: Mapping[str, Settings]
    """Of `text_encoder`, `unet`, `vae` and `scheduler`; of SDXL also of `text_encoder_2`."""
    prediction_from: str = field(default="scheduler_config.json", kw_only=True)
    """Who says what the U-Net predicts; empty if nobody does."""
    asked_precision: Precision | None = field(default=None, kw_only=True)
    """How the configuration wants the weights stored, if it says."""
    adapters: tuple[Adapter, ...] = field(default=(), kw_only=True)
    """LoRAs, which `lora.merge` adds to the networks after they are loaded."""
    zeros_for_empty_prompt: bool = field(default=False, kw_only=True)
    """Whether an empty negative prompt was zeros in training, in place of its embeddings."""
    tiny_vae: Path | None = field(default=None, kw_only=True)
    """Where a tiny autoencoder is whose decoder goes into the artifact too."""

    @abstractmethod
    def network(self, part: str) -> Any:
        """Load a network in fp32."""

    @abstractmethod
    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """Load the tokenizer of a text encoder."""

    def text_encoder(self) -> CLIPTextModel:
        """Load the text encoder in fp32; of SDXL the first."""
        return self.network("text_encoder")

    def text_encoder_2(self) -> CLIPTextModelWithProjection:
        """Load the second text encoder of SDXL in fp32."""
        return self.network("text_encoder_2")

    def unet(self) -> UNet2DConditionModel:
        """Load the U-Net in fp32."""
        return self.network("unet")

    def vae(self) -> AutoencoderKL:
        """Load the autoencoder in fp32."""
        return self.network("vae")

    @property
    def is_refiner(self) -> bool:
        """Whether it is the refiner of XL, which has the second text encoder only."""
        return "text_encoder" not in self.configs

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """Names of those that the model has."""
        return tuple(name for name in TOKENIZERS if name in self.configs)

    def weights(self) -> int:
        """How many weights all networks have together; loads none of them."""
        with torch.device("meta"):
            modules = [BUILD[part](self.configs[part]) for part in BUILD if part in self.configs]
        return sum(weight.numel() for module in modules for weight in module.parameters())

    @property
    def latent(self) -> Latent:
        """The space between autoencoder and U-Net."""
        defaults = inspect.signature(AutoencoderKL.__init__).parameters
        get = self.configs["vae"].get
        levels = len(get("block_out_channels", defaults["block_out_channels"].default))
        return Latent(
            channels=get("latent_channels", defaults["latent_channels"].default),
            downscale=2 ** (levels - 1),
            scale=get("scaling_factor", defaults["scaling_factor"].default),
        )

    def with_scheduler(self, said_by: str | None = None, **settings: Any) -> Self:
        """The same with other settings of the scheduler; whose word they are, if not as before."""
        configs = {**self.configs, "scheduler": {**self.configs["scheduler"], **settings}}
        return replace(self, configs=configs, prediction_from=said_by or self.prediction_from)

    @property
    def family(self) -> Family:
        """XL has a U-Net that is told more than a timestep, version 2 OpenCLIP's text encoder."""
        if is_xl(self.configs["unet"]):
            return "sdxl"
        return "sd2" if is_open_clip(self.configs["text_encoder"]) else "sd1"

    @property
    def prediction(self) -> Prediction:
        """What the U-Net predicts."""
        found = self.configs["scheduler"].get("prediction_type", "epsilon")
        if found not in ("epsilon", "v_prediction", "sample"):
            raise UnsupportedError(
                f"{self.source.id} predicts {found!r}; expected epsilon, v_prediction or sample"
            )
        return found  # type: ignore[no-any-return]

    @property
    def schedule(self) -> Schedule:
        """The noise of training."""
        return read_schedule(self.configs["scheduler"])

    @property
    def conditions(self) -> int:
        """Channels that the U-Net takes beside the latents, as `Manifest.conditions`."""
        return int(self.configs["unet"].get("in_channels", 4)) - self.latent.channels

    @property
    def has_guidance_inside(self) -> bool:
        """Whether the U-Net is told the strength of guidance, as latent consistency models are."""
        return bool(self.configs["unet"].get("time_cond_proj_dim"))

    @property
    def defaults(self) -> Defaults:
        """Those of any model, sampled as the checkpoint's own scheduler does."""
        recipe = read_recipe(self.configs["scheduler"])
        latents = self.configs["unet"].get("sample_size")
        size = latents * self.latent.downscale if isinstance(latents, int) else 512
        return Defaults(
            width=size,
            height=size,
            sampler=recipe.sampler,
            scheduler=recipe.scheduler,
            sampler_options=dict(recipe.options),
            **self.strengths,
        )

    @property
    def strengths(self) -> Settings:
        """Guidance, and how many steps where they are not as many as of any model."""
        return LCM if self.has_guidance_inside else {"guidance_scale": GUIDANCE[self.family]}


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


@dataclass(frozen=True)
class RandomCheckpoint(Checkpoint):
    """Random weights of a geometry: right in speed and memory, meaningless as a model."""

    seed: int = 0

    @classmethod
    def of(cls, name: str, preset: Preset) -> "RandomCheckpoint":
        """Make the networks of a preset's geometry, each when it is asked for."""
        geometry = preset.geometry
        if geometry is None:
            raise UsageError(f"preset {name!r} has no geometry to fill with random weights")
        configs = {part: one for part, one in geometry.model_dump().items() if one is not None}
        configs["scheduler"] = {CLASS: DEFAULT_SCHEDULER, **geometry.scheduler}
        return cls(
            name,
            Source(id=f"random:{name}"),
            configs,
            prediction_from="the preset",
            zeros_for_empty_prompt=is_xl(geometry.unet) and "text_encoder" in configs,
        )

    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """CLIP's own where its vocabulary fits, else one that knows single bytes only."""
        return fitting_tokenizer(self.configs[encoder])

    def network(self, part: str) -> Any:
        """Make a network."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            try:
                return BUILD[part](self.configs[part]).eval().requires_grad_(False)
            except (TypeError, ValueError) as error:
                raise UsageError(f"preset {self.name}, geometry.{part}: {error}") from error


def is_open_clip(text_encoder: Settings) -> bool:
    """Whether a text encoder is one of OpenCLIP's, which is told by its activation."""
    return text_encoder.get("hidden_act") == "gelu"


def is_xl(unet: Settings) -> bool:
    """Whether a U-Net takes a pooled embedding and numbers about the picture."""
    return unet.get("addition_embed_type") == "text_time"


def other_inputs(taken: int, given: int, is_xl: bool) -> str | None:
    """What a U-Net is that takes other channels than those that sdrt gives it; else None.

    It takes latents, and of an inpainting model also a mask and latents; of an editing one latents.
    """
    if taken - given in (0, given + 1) or (taken - given == given and not is_xl):
        return None
    return OTHER_INPUTS.get(taken, f"a U-Net with {taken} input channels")


def picture_numbers(configs: Mapping[str, Settings]) -> float:
    """How many numbers about the picture SDXL's U-Net takes, beside a pooled embedding."""
    unet, pooled = configs["unet"], configs["text_encoder_2"].get("projection_dim", 0)
    width = unet.get("projection_class_embeddings_input_dim") or 0
    return float((width - pooled) / (unet.get("addition_time_embed_dim") or 1))


def fitting_tokenizer(config: Settings) -> CLIPTokenizer:
    """A bundled tokenizer for a text encoder; OpenCLIP fills up with its first token, "!"."""
    known = CLIPTextConfig.from_dict(config)
    start, end = known.bos_token_id, known.eos_token_id
    padding = PADDING if is_open_clip(config) else END
    if (known.vocab_size, start, end) == CLIP_IDS:
        return clip_tokenizer(padding)
    return byte_tokenizer(start, end, padding)


OTHER_INPUTS = {
    8: "an editing model of Stable Diffusion XL (8 input channels)",
    7: "an upscaler (7 input channels)",
    5: "a depth model (5 input channels)",
}

PICTURE_NUMBERS = {2: 6, 1: 5}
"""How many a model is told, by its number of text encoders: see `sdrt.framing`."""

GUIDANCE: dict[Family, float] = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0}
"""What diffusers' pipelines guide with unless they are told."""

LCM: Settings = {"num_inference_steps": 4, "guidance_scale": 8.0}
"""How the authors of latent consistency models run them (Luo et al. 2023, arXiv 2310.04378)."""

LOAD: dict[str, tuple[Any, str]] = {
    "text_encoder": (CLIPTextModel, "dtype"),
    "text_encoder_2": (CLIPTextModelWithProjection, "dtype"),
    "unet": (UNet2DConditionModel, "torch_dtype"),
    "vae": (AutoencoderKL, "torch_dtype"),
}
"""Classes of the networks, and what each library calls the type to load weights in."""

BUILD: dict[str, Callable[[Settings], Any]] = {
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig.from_dict(config)),
    "unet": lambda config: UNet2DConditionModel.from_config(config),
    "vae": lambda config: AutoencoderKL.from_config(config),
}


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
