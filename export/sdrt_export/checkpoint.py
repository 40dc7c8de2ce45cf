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
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.foreign import describe, read_json
from sdrt.lora.adapter import Adapter
from sdrt.manifest import Defaults, Family, Latent, Precision, Prediction, Schedule, Source
from sdrt.scheduler_config import read_recipe, read_schedule
from sdrt_export.config import Preset
from sdrt_export.vocabulary import CLIP_IDS, END, PADDING, byte_tokenizer, clip_tokenizer

Settings = dict[str, Any]

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
CLASSES = {
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
}
SCHEDULER = re.compile(r"[A-Za-z]+Scheduler")
WEIGHTS = {
    "text_encoder": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}


@dataclass(frozen=True)
class Checkpoint(ABC):
    """A Stable Diffusion model in torch, with the configuration of each of its parts."""

    name: str
    source: Source
    configs: Mapping[str, Settings]
    """Of `text_encoder`, `unet`, `vae` and `scheduler`."""
    prediction_from: str = field(default="scheduler_config.json", kw_only=True)
    """Who says what the U-Net predicts; empty if nobody does."""
    asked_precision: Precision | None = field(default=None, kw_only=True)
    """How the configuration wants the weights stored, if it says."""
    adapters: tuple[Adapter, ...] = field(default=(), kw_only=True)
    """LoRAs, which `lora.merge` adds to the networks after they are loaded."""

    @abstractmethod
    def text_encoder(self) -> CLIPTextModel:
        """Load the text encoder in fp32."""

    @abstractmethod
    def unet(self) -> UNet2DConditionModel:
        """Load the U-Net in fp32."""

    @abstractmethod
    def vae(self) -> AutoencoderKL:
        """Load the autoencoder in fp32."""

    @abstractmethod
    def tokenizer(self) -> CLIPTokenizer:
        """Load the tokenizer."""

    def weights(self) -> int:
        """How many weights all networks have together; loads none of them."""
        with torch.device("meta"):
            modules = [BUILD[part](self.configs[part]) for part in BUILD]
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
        """Version 2 has OpenCLIP's text encoder, which is told by its activation."""
        return "sd2" if self.configs["text_encoder"].get("hidden_act") == "gelu" else "sd1"

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
        )


@dataclass(frozen=True)
class FolderCheckpoint(Checkpoint):
    """A folder in diffusers' layout, with safetensors weights."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "FolderCheckpoint":
        """Check that the folder holds a model of Stable Diffusion 1 or 2; loads no weights."""
        index = read_json(root / "model_index.json")
        if not isinstance(index, dict) or not describe(root).startswith("a diffusers checkpoint"):
            raise ArtifactError(
                f"{root} is {describe(root)}; expected a diffusers folder of Stable Diffusion"
            )
        _check_index(root, index)
        configs = {part: _config(root / part / "config.json") for part in BUILD}
        configs["scheduler"] = _config(root / "scheduler" / "scheduler_config.json")
        _check_architecture(root, configs["unet"], configs["text_encoder"])
        name = root.resolve().name
        return cls(name, Source(id=name), configs, root)

    def text_encoder(self) -> CLIPTextModel:
        """Load the text encoder in fp32."""
        return self._load(CLIPTextModel, "text_encoder", dtype=torch.float32)

    def unet(self) -> UNet2DConditionModel:
        """Load the U-Net in fp32."""
        return self._load(UNet2DConditionModel, "unet", torch_dtype=torch.float32)

    def vae(self) -> AutoencoderKL:
        """Load the autoencoder in fp32."""
        return self._load(AutoencoderKL, "vae", torch_dtype=torch.float32)

    def tokenizer(self) -> CLIPTokenizer:
        """Load the tokenizer."""
        with self._explained("tokenizer"):
            return CLIPTokenizer.from_pretrained(self.root / "tokenizer", local_files_only=True)

    def _load(self, cls: Any, part: str, **dtype: torch.dtype) -> Any:
        with self._explained(part):
            model, report = cls.from_pretrained(
                self.root / part,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=True,
                output_loading_info=True,
                **dtype,
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
        configs = geometry.model_dump()
        configs["scheduler"] = {"_class_name": "DDIMScheduler", **geometry.scheduler}
        return cls(name, Source(id=f"random:{name}"), configs, prediction_from="the preset")

    def text_encoder(self) -> CLIPTextModel:
        """Make a text encoder."""
        return self._make("text_encoder")

    def unet(self) -> UNet2DConditionModel:
        """Make a U-Net."""
        return self._make("unet")

    def vae(self) -> AutoencoderKL:
        """Make an autoencoder."""
        return self._make("vae")

    def tokenizer(self) -> CLIPTokenizer:
        """CLIP's own where its vocabulary fits, else one that knows single bytes only."""
        return fitting_tokenizer(self.configs["text_encoder"], self.family)

    def _make(self, part: str) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            try:
                return BUILD[part](self.configs[part]).eval().requires_grad_(False)
            except (TypeError, ValueError) as error:
                raise UsageError(f"preset {self.name}, geometry.{part}: {error}") from error


def fitting_tokenizer(config: Settings, family: Family) -> CLIPTokenizer:
    """A bundled tokenizer for a text encoder; OpenCLIP fills up with its first token, "!"."""
    known = CLIPTextConfig.from_dict(config)
    start, end = known.bos_token_id, known.eos_token_id
    padding = PADDING if family == "sd2" else END
    if (known.vocab_size, start, end) == CLIP_IDS:
        return clip_tokenizer(padding)
    return byte_tokenizer(start, end, padding)


BUILD: dict[str, Callable[[Settings], Any]] = {
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    "unet": lambda config: UNet2DConditionModel.from_config(config),
    "vae": lambda config: AutoencoderKL.from_config(config),
}


def _check_index(root: Path, index: Settings) -> None:
    """Compare `model_index.json` with the classes that sdrt loads; nothing else is ever loaded."""
    pipeline = index.get("_class_name")
    if pipeline not in PIPELINES:
        raise UnsupportedError(
            f"{root} is a {pipeline}; sdrt exports Stable Diffusion 1 and 2 ({PIPELINES[0]})"
        )
    for part, (library, names) in CLASSES.items():
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


def _check_architecture(root: Path, unet: Settings, text: Settings) -> None:
    """Tell Stable Diffusion 1 and 2 from their relatives by the configurations."""
    width = unet.get("cross_attention_dim")
    found = None
    if unet.get("addition_embed_type") == "text_time":
        found = "Stable Diffusion XL"
    elif unet.get("class_embed_type") or unet.get("encoder_hid_dim_type"):
        found = "an unCLIP or image-conditioned U-Net"
    elif unet.get("in_channels") == 9:
        found = "an inpainting model (9 input channels)"
    elif unet.get("in_channels") != unet.get("out_channels"):
        found = f"a U-Net with {unet.get('in_channels')} input channels"
    elif unet.get("time_cond_proj_dim"):
        found = "a distilled model with guidance embedding (LCM)"
    elif width != text.get("hidden_size"):
        found = f"a U-Net for embeddings of width {width} with a text encoder of another width"
    if found:
        raise UnsupportedError(f"{root} is {found}; sdrt exports Stable Diffusion 1 and 2")


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
