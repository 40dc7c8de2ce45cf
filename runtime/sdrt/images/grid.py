"""Grids: several pictures on one sheet, with or without titles."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GAP = 4  # pixels between pictures
PAPER, INK = (255, 255, 255), (40, 40, 40)


def columns_of(count: int) -> int:
    """The number of columns of a sheet that is about square, or else wider than high."""
    return math.ceil(count / max(1, round(math.sqrt(count))))


def grid(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Pictures of one size, row by row; raises `ValueError` without any."""
    if not images:
        raise ValueError("a sheet needs at least one picture")
    columns = columns or columns_of(len(images))
    width, height = images[0].size
    rows = math.ceil(len(images) / columns)
    size = columns * (width + GAP) - GAP, rows * (height + GAP) - GAP
    sheet = Image.new("RGB", size, PAPER)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        sheet.paste(image, (column * (width + GAP), row * (height + GAP)))
    return sheet


def titled_grid(images: Sequence[Image.Image], titles: Sequence[str]) -> Image.Image:
    """Pictures of one size with a title above each column; too long lines are cut."""
    pictures = grid(images, len(titles))
    width = images[0].width
    font = ImageFont.load_default(max(8, min(24, width // 10)))
    cut = ["\n".join(fitting(line, font, width - GAP) for line in t.split("\n")) for t in titles]
    heads = [(i * (width + GAP), title) for i, title in enumerate(cut)]
    draw = ImageDraw.Draw(pictures)
    boxes = [draw.multiline_textbbox((0, 0), title, font) for title in cut]
    head = math.ceil(max(box[3] for box in boxes)) + 2 * GAP
    sheet = Image.new("RGB", (pictures.width, pictures.height + head), PAPER)
    sheet.paste(pictures, (0, head))
    draw = ImageDraw.Draw(sheet)
    for left, title in heads:
        draw.multiline_text((left + GAP, GAP), title, INK, font)
    return sheet


def fitting(text: str, font: Font, width: float) -> str:
    """The text, cut to this width in pixels, with dots where something is missing."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
