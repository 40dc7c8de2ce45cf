"""Train the autoencoder on drawn scenes: on cut-outs around the objects, then whole pictures."""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from demo_model.geometry import untrained_vae
from demo_model.training import Run, arithmetic, as_input, cosine_rate, draw_pictures, start_from
from sdrt_bench.scenes.grammar import Scene

CROP = 64  # pixels; the objects are what is hard to learn, and a cut-out costs a quarter
CENTER_X = {"left": 36, "center": 64, "right": 92}
LATENT_NOISE = 0.1  # beside the posterior's own: a decoder that forgives what the U-Net gets wrong
Pictures = npt.NDArray[np.uint8]


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for checkpoints and the trained network")
    parser.add_argument("--steps", type=int, default=14_000)
    parser.add_argument("--pictures", type=int, default=14_000)
    parser.add_argument("--batch", type=int, default=8, help="cut-outs; whole pictures: half")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--whole-after", type=float, default=0.75, help="share of the steps")
    parser.add_argument("--freeze-after", type=float, default=0.68, help="share of the steps")
    parser.add_argument("--start", type=Path, help="folder of a trained autoencoder to go on from")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    pictures, scenes = draw_pictures(args.pictures, seed=1)
    unseen, _ = draw_pictures(500, seed=99)
    vae = quietened(untrained_vae()).to(memory_format=torch.channels_last)
    start_from(vae, args.start)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=args.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    run = Run(args.work / "vae.pt", vae, optimizer, args.steps)
    for step in run:
        if step >= args.freeze_after * args.steps and vae.quant_conv.weight.requires_grad:
            freeze_encoder(vae, run)
            save(vae, unseen, args.work / "vae")
        run.set_rate(cosine_rate(step, args.steps, args.rate, warmup=200))
        if step < args.whole_after * args.steps:
            batch = cut_outs(pictures, scenes, args.batch)
        else:
            batch = pictures[torch.randint(0, len(pictures), (args.batch // 2,)).numpy()]
        run.descend(loss(vae, as_input(batch)))
        run.report(100)
        if (step + 1) % 1000 == 0:
            run.average.swap()
            print(f"          {psnr(vae, unseen[:100]):.2f} dB on unseen pictures", flush=True)
            run.average.swap()
    run.average.swap()
    save(vae, unseen, args.work / "vae")


def quietened(vae: AutoencoderKL) -> AutoencoderKL:
    """Start with an almost deterministic posterior: its noise would drown the first signals."""
    channels = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[channels:] *= 0.1
        vae.quant_conv.bias[channels:] = -5.0
    return vae


def freeze_encoder(vae: AutoencoderKL, run: Run) -> None:
    """Keep the encoder's average for good: from here on the U-Net can train on its latents."""
    average = dict(
        zip((name for name, _ in vae.named_parameters()), run.average.weights, strict=True)
    )
    with torch.no_grad():
        for name, weight in vae.named_parameters():
            if name.startswith(("encoder.", "quant_conv.")):
                weight.copy_(average[name])
                weight.requires_grad_(False)


def save(vae: AutoencoderKL, pictures: Pictures, folder: Path) -> None:
    """Write the autoencoder with the scale that gives its latents unit deviation."""
    vae.register_to_config(scaling_factor=round(1 / latent_std(vae, pictures), 5))
    vae.save_pretrained(folder)
    print(f"{psnr(vae, pictures):.2f} dB, scaling factor {vae.config.scaling_factor}", flush=True)


def cut_outs(pictures: Pictures, scenes: list[Scene], count: int) -> Pictures:
    """Square pieces of random pictures, three of four around the object."""
    pieces = []
    for i in torch.randint(0, len(pictures), (count,)).tolist():
        x, y = torch.randint(0, 128 - CROP + 1, (2,)).tolist()
        if torch.rand(()) < 0.75:
            dx, dy = torch.randint(-20, 21, (2,)).tolist()
            cy = 42 if scenes[i].object == "balloon" else 86
            x = min(128 - CROP, max(0, CENTER_X[scenes[i].side] - CROP // 2 + dx))
            y = min(128 - CROP, max(0, cy - CROP // 2 + dy))
        pieces.append(pictures[i, y : y + CROP, x : x + CROP])
    return np.stack(pieces)


def loss(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """Absolute, squared and edge error of the reconstruction, and a little KL divergence."""
    with arithmetic():
        moments = vae.quant_conv(vae.encoder(x)).float()
        mean, log_variance = moments.chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 10)
        spread = (0.5 * log_variance).exp() + LATENT_NOISE
        z = mean + torch.randn_like(mean) * spread
        y = vae.decoder(vae.post_quant_conv(z)).float()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    pixels = F.l1_loss(y, x) + 2 * F.mse_loss(y, x)
    total: torch.Tensor = pixels + 0.5 * edge_error(y, x) + 5e-5 * divergence
    return total


def edge_error(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """How much differences of neighbouring pixels differ, at two scales."""
    total = torch.zeros(())
    for _ in range(2):
        for dim in (2, 3):
            total = total + F.l1_loss(a.diff(dim=dim), b.diff(dim=dim))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: Pictures) -> float:
    """Mean peak signal-to-noise ratio of reconstructions, dB."""
    errors = []
    for i in range(0, len(pictures), 50):
        x = as_input(pictures[i : i + 50])
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        errors += (((x - y) / 2) ** 2).flatten(1).mean(1).tolist()
    return float(np.mean(-10 * np.log10(errors)))


@torch.no_grad()
def latent_std(vae: AutoencoderKL, pictures: Pictures) -> float:
    """Standard deviation over all latent values."""
    parts = [as_input(pictures[i : i + 50]) for i in range(0, len(pictures), 50)]
    return float(torch.cat([vae.encode(p).latent_dist.mean for p in parts]).std())


if __name__ == "__main__":
    main()
