"""One prompt and seed by every sampler, on one sheet.

python -m sdrt_bench.docs.sampler_sheet docs/images/samplers.png
"""

import argparse
from pathlib import Path

import sdrt
from sdrt.images.grid import grid, titled_grid
from sdrt.images.png import save_png
from sdrt.sampling.samplers.registry import SAMPLERS

COLUMNS = 7


def main() -> None:
    """Paint and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--prompt", default="a red boat on the sea at sunset")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    pipe = sdrt.load(args.model, precision="fp32")
    names = list(SAMPLERS)
    images = [
        pipe(args.prompt, seed=args.seed, num_inference_steps=args.steps, sampler=name).images[0]
        for name in names
    ]
    rows = [slice(i, i + COLUMNS) for i in range(0, len(names), COLUMNS)]
    save_png(grid([titled_grid(images[row], names[row]) for row in rows], 1), args.output)


if __name__ == "__main__":
    main()
