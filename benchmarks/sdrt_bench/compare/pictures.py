"""Pictures of a comparison: images side by side with their difference, and PSNR over steps."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sdrt.errors import WriteError
from sdrt.files.atomic import whole_file
from sdrt.images.grid import GAP, INK, PAPER, Font, fitting, titled_grid
from sdrt_bench.compare.comparison import SIDES, ModelComparison, Pair, decibels
from sdrt_bench.similarity import WHITE, Pixels

ROWS = 6
GAINS = (64, 32, 16, 8, 4, 2, 1)  # of differences, which would be invisible otherwise
SHEET, PLOT = "side-by-side.png", "psnr-over-steps.png"
FILES = (SHEET, PLOT)


def write_pictures(comparison: ModelComparison, folder: Path) -> list[Path]:
    """Write both pictures, or none; makes the folder if it is not there."""
    pictures = {
        folder / SHEET: side_by_side(comparison),
        folder / PLOT: psnr_over_steps(comparison),
    }
    is_new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        with ExitStack() as files:
            for path, picture in pictures.items():
                picture.save(files.enter_context(whole_file(path)), format="PNG")
    except OSError as error:
        raise WriteError(f"cannot make the folder {folder}: {error.strerror}") from error
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return list(pictures)


def side_by_side(comparison: ModelComparison, rows: int = ROWS) -> Image.Image:
    """Draw a row for each of some prompts: its text, A, B, and their difference, amplified.

    The prompts are evenly spaced in the order of their PSNR, from the worst to the best.
    """
    pairs = spaced_pairs(comparison.pairs, rows)
    apart = [_apart(*pair.pictures) for pair in pairs]
    gain = next(gain for gain in GAINS if gain == 1 or _fits(apart, gain))
    cells: list[Image.Image] = []
    for pair, difference in zip(pairs, apart, strict=True):
        shown = (*pair.pictures, (difference * gain).clip(0, 255).astype(np.uint8))
        height, width = difference.shape[:2]
        cells += [_panel(_label(pair), width, height), *map(Image.fromarray, shown)]
    heads = [
        f"{name}: {side.model}\nstored in {side.stored_precision}\n"
        f"{side.backend} {side.executed_precision}"
        for name, side in zip(SIDES, comparison.sides, strict=True)
    ]
    return titled_grid(cells, ["", *heads, f"difference\ntimes {gain}"])


def spaced_pairs(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Choose the worst, the best, and some evenly spaced between them."""
    ordered = sorted(pairs, key=lambda pair: pair.psnr_db)
    at = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[i] for i in at]


def _apart(a: Pixels, b: Pixels) -> npt.NDArray[np.int32]:
    """Absolute differences of two images."""
    apart: npt.NDArray[np.int32] = np.abs(a.astype(np.int32) - b)
    return apart


def _fits(apart: Sequence[npt.NDArray[np.int32]], gain: int) -> bool:
    """Whether all but a few of the largest amplified differences stay below white."""
    return float(np.quantile(np.stack(apart), 0.998)) * gain <= WHITE


def psnr_over_steps(comparison: ModelComparison) -> Image.Image:
    """Draw the median of all prompts, and a band from the tenth to the ninetieth percentile."""
    from sdrt_bench.charts.figure import SERIES, to_image
    from sdrt_bench.charts.lines import Line, LineChart, draw_lines

    spreads = comparison.latent_psnr_db
    steps = list(range(1, len(spreads) + 1))
    median, worst = [step.median for step in spreads], [step.min for step in spreads]
    band = [step.p10 for step in spreads], [step.p90 for step in spreads]
    chart = LineChart(
        title=f"How far the latents of B are from A's, {len(comparison.pairs)} prompts",
        x_label="step",
        y_label="PSNR, dB",
        lines=[
            Line("median", steps, median, SERIES[0], band, "p10 to p90", has_dots=True),
            Line("worst", steps, worst, SERIES[1], style="dashed"),
        ],
        subtitle=comparison.describe(),
        empty="A and B are equal after every step",
        is_counted=True,
    )
    return to_image(draw_lines(chart, height=470))


def _label(pair: Pair) -> list[str]:
    return [
        pair.prompt,
        f"seed {pair.seed}",
        f"PSNR {decibels(pair.psnr_db)}" + (" dB" if np.isfinite(pair.psnr_db) else ""),
        f"SSIM {pair.ssim:.3f}",
    ]


def _panel(texts: Sequence[str], width: int, height: int) -> Image.Image:
    """Texts on white, the first of them wrapped and, if it is too long, cut."""
    panel = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(panel)
    font = ImageFont.load_default(max(8, min(24, width // 11)))
    line_height = pen.textbbox((0, 0), "Ag", font)[3] + 3
    first, *others = texts
    room = max(1, int(height // line_height) - len(others))
    lines = _wrapped(first, font, width - GAP)
    if len(lines) > room:
        lines = [*lines[: room - 1], fitting(" ".join(lines[room - 1 :]), font, width - GAP)]
    for i, line in enumerate([*lines, *others]):
        pen.text((2, i * line_height), line, INK, font)
    return panel


def _wrapped(text: str, font: Font, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
