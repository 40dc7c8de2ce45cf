"""Measures how often an exported model paints what the prompt says, by the checker."""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

import sdrt
from sdrt.images.grid import grid
from sdrt_bench.scenes.checker import accuracy
from sdrt_bench.scenes.prompts import ScenePrompt, drawn, scene_prompts
from sdrt_bench.scenes.render import Picture

# One of each object, in all lights and grounds: the pictures of the README.
SHOWN = (
    "a red boat on the sea at sunset",
    "a brown dog on the beach by day",
    "a white cat on the grass at noon",
    "a yellow hot air balloon over the desert at dawn",
    "a red house in the snow at night with mountains",
    "a blue car in the desert on a sunny day on the left",
    "a pink tree in a green field in the morning",
    "a purple ball on the beach at dusk",
    "an orange kitten in winter by moonlight",
    "a big white sailboat on the ocean under a blue sky",
    "a black puppy in a meadow at sunset with hills",
    "a green hot air balloon above the ocean at night",
)


def main() -> None:
    """Parse the command line, evaluate, print a record and write a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="default: the embedded model")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--sampler")
    parser.add_argument("--backend")
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--noise", type=float, default=0.0, help="share with words unknown to it")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the shown prompts")
    args = parser.parse_args()
    pipe = sdrt.load(args.model, backend=args.backend, precision=args.precision)
    chosen = {"num_inference_steps": args.steps, "sampler": args.sampler}
    chosen["guidance_scale"] = args.cfg_scale
    options = {name: value for name, value in chosen.items() if value is not None}
    if args.sheet:
        pictures = [paint(pipe, prompt, 1, options) for prompt in SHOWN]
        grid([Image.fromarray(picture) for picture in pictures], columns=6).save(args.sheet)
    if args.prompts:
        prompts = scene_prompts(args.prompts, args.noise)
        pictures = [paint(pipe, prompt.text, seed, options) for seed, prompt in enumerate(prompts)]
        record = {
            "prompts": len(prompts),
            **options,
            "model": accuracy(judged(prompts, pictures)),
            "ceiling": accuracy(judged(prompts, drawn(prompts))),
        }
        print(json.dumps(record))


def judged(prompts: list[ScenePrompt], pictures: list[Picture]) -> list[dict[str, bool]]:
    """Check which attributes of its prompt each picture shows."""
    return [prompt.judge(picture) for prompt, picture in zip(prompts, pictures, strict=True)]


def paint(pipe: sdrt.Pipeline, prompt: str, seed: int, options: dict[str, object]) -> Picture:
    """Paint one picture."""
    return np.asarray(pipe(prompt, seed=seed, **options).images[0])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
