"""The pictures of docs/use/gallery.md, one sheet for each way of making pictures.

python -m sdrt_bench.docs.gallery docs/images
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

import sdrt
from sdrt.images.grid import titled_grid
from sdrt.images.png import save_png
from sdrt.pipeline import Pipeline

SEED = 7
PROMPTS = {
    "boat": "a red boat on the sea at sunset",
    "dog": "a brown dog on the beach by day",
    "balloon": "a yellow hot air balloon over the desert at dawn",
    "house": "a red house in the snow at night with mountains",
    "cat": "a white cat on the grass at noon",
}
OTHER_BOAT, STRENGTHS = "a blue boat on the sea at night", (0.3, 0.5, 0.7, 0.9)
PAINTED = {"cat": "a white cat", "house": "a red house", "car": "a blue car"}
PLACE, MASKED = "on the beach by day", (8, 32, 112, 120)  # left, top, right and bottom, pixels
STYLES = ("watercolor", "line-art", "film-noir", "anime")
HIRES, HIRES_STRENGTHS = 1.5, (0.2, 0.4)

NamedSheet = tuple[str, Image.Image]


def sheets(pipe: Pipeline) -> Iterator[NamedSheet]:
    """Paint each sheet; gives it with its name."""
    pictures = {name: paint(pipe, prompt) for name, prompt in PROMPTS.items()}
    yield "text-to-image", titled_grid(list(pictures.values()), list(pictures))
    yield "image-to-image", image_to_image(pipe, pictures["boat"])
    yield "inpainting", inpainting(pipe, pictures["dog"])
    yield "hires", hires(pipe, pictures["house"])
    yield "styles", styles(pipe, pictures["boat"])


def paint(pipe: Pipeline, prompt: str, **options: object) -> Image.Image:
    """Paint one image."""
    return pipe(prompt, seed=SEED, **options).images[0]  # type: ignore[arg-type]


def image_to_image(pipe: Pipeline, boat: Image.Image) -> Image.Image:
    """Paint another prompt over the boat, with several strengths."""
    images = [paint(pipe, OTHER_BOAT, image=boat, strength=strength) for strength in STRENGTHS]
    return titled_grid(
        [boat, *images], ["image", *(f"strength {strength:g}" for strength in STRENGTHS)]
    )


def inpainting(pipe: Pipeline, dog: Image.Image) -> Image.Image:
    """Paint other objects into the place of the dog, under a mask."""
    mask = Image.new("L", dog.size, 0)
    mask.paste(255, MASKED)
    images = [
        paint(pipe, f"{subject} {PLACE}", image=dog, mask=mask) for subject in PAINTED.values()
    ]
    return titled_grid([dog, mask.convert("RGB"), *images], ["image", "mask", *PAINTED])


def hires(pipe: Pipeline, house: Image.Image) -> Image.Image:
    """Enlarge the house by resampling, and by a second pass."""
    prompt = PROMPTS["house"]
    images = [
        paint(pipe, prompt, hires=HIRES, hires_strength=strength) for strength in HIRES_STRENGTHS
    ]
    enlarged = house.resize(images[0].size, Image.Resampling.LANCZOS)
    titles = ["enlarged", *(f"second pass, {strength:g}" for strength in HIRES_STRENGTHS)]
    return titled_grid([enlarged, *images], titles)


def styles(pipe: Pipeline, boat: Image.Image) -> Image.Image:
    """Paint the boat without a style, and in some."""
    images = [paint(pipe, PROMPTS["boat"], style=style) for style in STYLES]
    return titled_grid([boat, *images], ["no style", *STYLES])


def main() -> None:
    """Paint with the embedded model and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, sheet in sheets(sdrt.load(precision="fp32")):
        save_png(sheet, folder / f"gallery-{name}.png")


if __name__ == "__main__":
    main()
