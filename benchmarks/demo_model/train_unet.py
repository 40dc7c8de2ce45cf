"""Train the U-Net to denoise latents of drawn scenes, told by the text encoder what they show.

Prediction of the noise (Ho et al. 2020), min-SNR weights (Hang et al. 2023, arXiv 2303.09556),
captions dropped for classifier-free guidance, averaged weights.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from demo_model.geometry import noise_schedule, untrained_unet, write_index
from demo_model.tokenizer import LENGTH
from demo_model.training import (
    Run,
    arithmetic,
    as_input,
    cosine_rate,
    draw_pictures,
    scenes_of_pictures,
    start_from,
)
from sdrt_bench.scenes.captions import caption
from sdrt_bench.scenes.grammar import Scene

CHUNK = 5000  # pictures drawn and encoded at a time
FIRST_SEED = 1000  # of the pictures' chunks
ANIMALS = ("dog", "cat")  # the objects with the finest shapes
CAPTIONS = 6  # wordings of each picture
MAX_SNR = 5.0
NOISE_OFFSET = 0.05  # lets the whole picture's brightness be part of the noise


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="holds vae, text_encoder and tokenizer; gets unet")
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--dropped", type=float, default=0.1, help="share of empty captions")
    parser.add_argument("--animals", type=float, default=1.0, help="how much oftener they are seen")
    parser.add_argument("--start", type=Path, help="folder of a trained U-Net to go on from")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    data = Data.load(args.work, args.pictures, args.animals)
    unet = untrained_unet().to(memory_format=torch.channels_last)
    start_from(unet, args.start)
    unet.set_attn_processor(AttnProcessor())  # torch's fused one is slow backwards on CPUs
    matrices = [weight for weight in unet.parameters() if weight.ndim > 1]
    vectors = [weight for weight in unet.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
        lr=args.rate,
        betas=(0.9, 0.99),
        fused=True,
    )
    run = Run(args.work / "unet.pt", unet, optimizer, args.steps)
    schedule = noise_schedule()
    for step in run:
        run.set_rate(cosine_rate(step, args.steps, args.rate, warmup=300))
        run.descend(loss(unet, schedule, data.pick(args.batch, args.dropped)))
        run.report(200)
        if (step + 1) % 2000 == 0:
            save(run, unet, args.work)
    save(run, unet, args.work)


@dataclass(frozen=True)
class Batch:
    """Latents (n, 4, 16, 16) and text states (n, 77, width)."""

    latents: torch.Tensor
    states: torch.Tensor


@dataclass(frozen=True)
class Data:
    """Latents and captions of all pictures, in memory."""

    latents: torch.Tensor
    ids: torch.Tensor
    empty: torch.Tensor
    encoder: CLIPTextModel
    chances: torch.Tensor
    """Pictures are drawn in these proportions."""

    @classmethod
    def load(cls, work: Path, pictures: int, animals: float = 1.0) -> "Data":
        """Draw, word and encode pictures, or take them from an earlier run."""
        tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        encoder = CLIPTextModel.from_pretrained(work / "text_encoder").eval().requires_grad_(False)
        cache = work / f"latents-{pictures}.pt"
        if not cache.exists():
            vae = AutoencoderKL.from_pretrained(work / "vae").eval()
            vae.to(memory_format=torch.channels_last)
            chunks = [_encode_chunk(vae, tokenizer, i) for i in range(pictures // CHUNK)]
            torch.save([torch.cat(parts) for parts in zip(*chunks, strict=True)], cache)
        latents, ids = torch.load(cache, weights_only=True)
        print(f"{len(latents)} latents, deviation {latents.std():.3f}", flush=True)
        chances = torch.tensor(
            [
                animals if scene.object in ANIMALS else 1.0
                for i in range(pictures // CHUNK)
                for scene in scenes_of_pictures(CHUNK, seed=FIRST_SEED + i)
            ]
        )
        return cls(latents, ids, _token_ids(tokenizer, [""])[0], encoder, chances)

    def pick(self, count: int, dropped: float) -> Batch:
        """Random pictures, each with one of its captions or with none."""
        chosen = torch.multinomial(self.chances, count, replacement=True)
        ids = self.ids[chosen, torch.randint(0, CAPTIONS, (count,))].long()
        ids[torch.rand(count) < dropped] = self.empty.long()
        with torch.no_grad(), arithmetic():
            states = self.encoder(ids).last_hidden_state
        return Batch(self.latents[chosen], states)


def loss(unet: UNet2DConditionModel, schedule: DDIMScheduler, batch: Batch) -> torch.Tensor:
    """Weighted squared error of the predicted noise."""
    z, count = batch.latents, len(batch.latents)
    # One timestep from each of `count` equal parts: less chance in the loss than free draws.
    t = ((torch.arange(count) + torch.rand(count)) * (1000 / count)).long().clamp(0, 999)
    noise = torch.randn_like(z) + NOISE_OFFSET * torch.randn(count, z.shape[1], 1, 1)
    alpha = schedule.alphas_cumprod[t].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * z + (1 - alpha).sqrt() * noise
    with arithmetic():
        predicted = unet(noisy, t, batch.states).sample.float()
    snr = (alpha / (1 - alpha)).flatten()
    error = ((predicted - noise) ** 2).mean((1, 2, 3))
    weighted: torch.Tensor = snr.clamp(max=MAX_SNR) / snr * error
    return weighted.mean()


def save(run: Run, unet: UNet2DConditionModel, work: Path) -> None:
    """Write the averaged weights, and what makes `work` a diffusers folder to export."""
    run.average.swap()
    unet.save_pretrained(work / "unet")
    run.average.swap()
    write_index(work)


def _encode_chunk(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (n, 4, 16, 16) and caption ids (n, captions, 77) of freshly drawn pictures."""
    pictures, scenes = draw_pictures(CHUNK, seed=FIRST_SEED + index)
    latents = []
    with torch.no_grad(), arithmetic():
        for i in range(0, CHUNK, 50):
            mean = vae.encode(as_input(pictures[i : i + 50])).latent_dist.mean
            latents.append(mean.float() * vae.config.scaling_factor)
    print(f"encoded {(index + 1) * CHUNK} pictures", flush=True)
    return torch.cat(latents), _caption_ids(tokenizer, scenes, index)


def _caption_ids(tokenizer: CLIPTokenizer, scenes: list[Scene], seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    texts = [caption(scene, rng)[0] for scene in scenes for _ in range(CAPTIONS)]
    return _token_ids(tokenizer, texts).view(len(scenes), CAPTIONS, LENGTH)


def _token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH)
    return torch.tensor(tokens.input_ids, dtype=torch.int16)


if __name__ == "__main__":
    main()
