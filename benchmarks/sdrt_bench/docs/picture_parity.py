"""Compares sdrt's images with those of diffusers' pipeline: same weights, scheduler and seed.

    python -m sdrt_bench.docs.picture_parity DIFFUSERS_FOLDER [ARTIFACT]

The artifact is the folder's export; by default the embedded model, whose folder
`python -m demo_model.restore` makes.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    TCDScheduler,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel

import sdrt
from sdrt.pipeline import Pipeline
from sdrt.sampling.scheduler_config import read_config
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt_bench.docs.scheduler_variants import scheduler_class
from sdrt_bench.similarity import Pixels, psnr_db
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.diffusers_folder import FolderCheckpoint

# Samplers of sdrt, and the classes and options of diffusers that mean the same.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "dpm-solver": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    "dpm++2m": ("DPMSolverMultistepScheduler", {}),
    "dpm++2m karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++2s": ("DPMSolverSinglestepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}


@dataclass(frozen=True)
class TorchNetworks:
    """The networks of a checkpoint in torch."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "TorchNetworks":
        """Load all of a checkpoint."""
        return cls(checkpoint.text_encoder(), checkpoint.unet(), checkpoint.vae())

    def paint(self, scheduler: Any, ids: npt.NDArray[np.int64], **options: Any) -> Pixels:
        """Paint with diffusers' pipeline; `ids` are of the prompt and of an empty one, (2, 77)."""
        pipe = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=None,
            tokenizer=None,
            unet=self.unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        with torch.no_grad():
            states = self.text_encoder(torch.from_numpy(ids)).last_hidden_state
        seed = options.pop("seed")
        result = pipe(
            prompt_embeds=states[:1],
            negative_prompt_embeds=states[1:],
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **options,
        )
        pixels: Pixels = (result.images[0] * 255).round().astype(np.uint8)
        return pixels


def make_scheduler(name: str, model_config: Mapping[str, Any]) -> Any:
    """Make a scheduler of diffusers with a model's noise schedule and spacing."""
    cls, options = SCHEDULERS[name]
    config = {k: v for k, v in model_config.items() if not k.startswith("_")}
    return scheduler_class(cls).from_config({**config, **options})


def config_of(scheduler: Any) -> dict[str, Any]:
    """Give the content of its `scheduler_config.json`."""
    return {**scheduler.config, "_class_name": type(scheduler).__name__}


def main() -> None:
    """Paint with diffusers and on both engines, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="in diffusers' layout")
    parser.add_argument("artifact", nargs="?")
    parser.add_argument("--prompt", default="a red boat on the sea at sunset")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    networks = TorchNetworks.from_checkpoint(FolderCheckpoint.open(args.folder))
    pipes = {
        name: sdrt.load(args.artifact, backend=name, precision="fp32")
        for name in ("onnxruntime", "openvino")
    }
    model_config = read_config(args.folder / "scheduler" / "scheduler_config.json")
    print("| sampler | onnxruntime | openvino | between the two |")
    print("|---|---|---|---|")
    for name in SCHEDULERS:
        scheduler = make_scheduler(name, model_config)
        steps = 4 if name in ("lcm", "tcd") else args.steps
        theirs, ours = compare(networks, pipes, scheduler, args.prompt, args.seed, steps)
        figures = [psnr_db(theirs, image) for image in ours] + [psnr_db(ours[0], ours[1])]
        print(f"| {name} | {' | '.join(f'{figure:.1f} dB' for figure in figures)} |", flush=True)


def compare(
    networks: TorchNetworks,
    pipes: Mapping[str, Pipeline],
    scheduler: Any,
    prompt: str,
    seed: int,
    steps: int,
) -> tuple[Pixels, list[Pixels]]:
    """Paint with diffusers and on each engine."""
    first = next(iter(pipes.values()))
    defaults, encoder = first.artifact.manifest.defaults, first.artifact.manifest.text_encoders[0]
    options = {
        "num_inference_steps": steps,
        "guidance_scale": defaults.guidance_scale,
        "seed": seed,
    }
    config = config_of(scheduler)
    ours = [
        np.asarray(pipe(prompt, scheduler_config=config, **options).images[0])  # type: ignore[arg-type]
        for pipe in pipes.values()
    ]
    tokenizer = Tokenizer(first.artifact.root / encoder.tokenizer, encoder.length)
    ids = np.concatenate([tokenizer.encode(parse(text)).ids for text in (prompt, "")])
    options |= {"width": defaults.width, "height": defaults.height}
    if isinstance(scheduler, TCDScheduler):
        options["eta"] = 0.3  # the scheduler's default, for which the pipeline passes 0
    return networks.paint(scheduler, ids, **options), ours


if __name__ == "__main__":
    main()
