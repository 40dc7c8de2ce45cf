"""A record as rows of short texts, which terminal, Markdown and HTML lay out in their ways."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sdrt_bench.bench.record import Cell, Fidelity, Params, Precision, Record

SMALL_SHARE = 0.005  # is not worth a word
UNKNOWN = "-"
NOISY = "~"
COLUMNS = (
    *("cell", "step, s", "x ref", "image, s", "images/h", "peak RSS", "disk"),
    *("stored -> executed", "of peak", "PSNR, dB", "SQNR, dB", "right"),
)
LEFT = frozenset({"cell", "stored -> executed"})


@dataclass(frozen=True)
class Row:
    """One cell."""

    cell: Cell
    texts: Mapping[str, str]
    """By column; of a cell that gave nothing only its name."""
    problem: str | None
    """Why it gave nothing: "failed: ..." or "skipped: ..."."""


@dataclass(frozen=True)
class Block:
    """The cells that painted the same: same model, size, batch, guidance, steps and threads."""

    title: str
    reference: str | None
    """Label of the row whose step is 1.00."""
    columns: Sequence[str]
    """Those in which any row has something to say."""
    rows: Sequence[Row]
    notes: Sequence[str]
    """Why rows are marked as noisy."""


def blocks(record: Record) -> list[Block]:
    """Every cell in its block, in the record's order."""
    shapes: dict[str, list[Cell]] = {}
    for cell in record.benchmarks:
        shapes.setdefault(_title(cell.params), []).append(cell)
    return [_block(title, cells) for title, cells in shapes.items()]


def label(params: Params) -> str:
    """What tells a cell from the others of its block: "openvino int8", "diffusers bf16 best"."""
    words = [params.backend] if params.tool == "sdrt" else [params.tool]
    words.append(params.precision)
    if params.settings != "ours":
        words.append(params.settings)
    return printable(" ".join(words))


def printable(text: str) -> str:
    """One line that no terminal takes for a command, whatever a model is called."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def steady_steps(cell: Cell) -> list[list[float]]:
    """Each round's steps without its first, which warms up; a single step counts."""
    return [list(one.step_s[1:] or one.step_s) for one in cell.rounds if one.step_s]


def peak_rss(cell: Cell) -> int | None:
    """The largest of all rounds, bytes."""
    return max((one.peak_rss for one in cell.rounds if one.peak_rss is not None), default=None)


def image_seconds(cell: Cell) -> float | None:
    """Median of all rounds."""
    return median([one.image_s for one in cell.rounds if one.image_s is not None])


def median(values: Sequence[float]) -> float | None:
    """None of nothing."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def is_equal(cell: Cell) -> bool:
    """Whether it is its own reference, or painted the very same picture."""
    found = cell.fidelity
    if found is None:
        return False
    return found.reference == cell.name or (found.image_psnr_db is None and found.image_ssim == 1)


def figure(value: float) -> str:
    """Three figures, never in powers of ten."""
    return f"{value:.{_decimals(value)}f}"


def plus_minus(value: float, spread: float) -> str:
    """Both with the decimals of the value."""
    return f"{figure(value)} ±{spread:.{_decimals(value)}f}"


def gigabytes(value: float) -> str:
    """Bytes for people."""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _decimals(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    return min(max(2 - math.floor(math.log10(abs(value))), 0), 6)


def provenance(record: Record) -> str:
    """When, where and of what: one sentence."""
    machine, commit = record.machine_info, record.commit_info
    dirty = " with changes" if commit.dirty else ""
    return printable(
        f"sdrt {record.version}, commit {commit.id[:12]}{dirty}, {record.datetime}; "
        f"{machine.processor}, {machine.cores} cores, {gigabytes(machine.memory_bytes)}"
    )


def verdict(record: Record) -> str:
    """Whether the machine was quiet enough, in one sentence."""
    measured = [cell for cell in record.benchmarks if cell.status == "ok"]
    noisy = [cell for cell in measured if cell.noisy]
    if not measured:
        return "Nothing was measured."
    if not noisy:
        return f"The machine was quiet: none of {len(measured)} cells is marked as noisy."
    return (
        f"The machine was busy: {len(noisy)} of {len(measured)} cells are marked with {NOISY}, "
        "their times are not to be trusted."
    )


def _title(params: Params) -> str:
    guidance = f"guidance {params.guidance_scale:g}" if params.guidance else "no guidance"
    batch = f"batch {params.batch}, " if params.batch > 1 else ""
    threads = f"{params.threads} thread{'' if params.threads == 1 else 's'}"
    return printable(
        f"{params.model}, {params.width}x{params.height}, {batch}{guidance}, "
        f"{params.steps} steps of {params.sampler}, {threads}"
    )


def _block(title: str, cells: Sequence[Cell]) -> Block:
    reference = _reference(cells)
    rows = [_row(cell, reference) for cell in cells]
    used = set(chain.from_iterable(row.texts for row in rows))
    notes = [
        printable(f"{NOISY} {label(cell.params)}: {'; '.join(cell.noisy)}")
        for cell in cells
        if cell.noisy and cell.status == "ok"
    ]
    name = label(reference.params) if reference else None
    return Block(title, name, [column for column in COLUMNS if column in used], rows, notes)


def _reference(cells: Sequence[Cell]) -> Cell | None:
    """The first fp32 row of ours, or else of anybody."""
    measured = [cell for cell in cells if cell.stats and cell.params.precision == "fp32"]
    ours = [cell for cell in measured if cell.params.tool == "sdrt"]
    return next(iter(ours or measured), None)


def _row(cell: Cell, reference: Cell | None) -> Row:
    name = label(cell.params) + (f" {NOISY}" if cell.noisy and cell.status == "ok" else "")
    if cell.status != "ok":
        why = printable(cell.error or "no reason given")
        return Row(cell, {"cell": name}, f"{cell.status}: {why}")
    texts = {
        "cell": name,
        **_speed(cell, reference),
        **_size(cell),
        "stored -> executed": executed(cell.precision) if cell.precision else None,
        "of peak": _percent(cell.work.share_of_peak) if cell.work else None,
        **(_fidelity(cell, cell.fidelity) if cell.fidelity else {}),
    }
    return Row(cell, {column: text for column, text in texts.items() if text}, None)


def _speed(cell: Cell, reference: Cell | None) -> dict[str, str | None]:
    image = image_seconds(cell)
    texts = {
        "image, s": None if image is None else figure(image),
        "images/h": None if cell.images_per_hour is None else figure(cell.images_per_hour),
    }
    if cell.stats is None:
        return texts
    step = plus_minus(cell.stats.median, cell.stats.mad)
    if reference is None or not reference.stats or not reference.stats.median:
        return {"step, s": step, **texts}
    return {"step, s": step, "x ref": f"{cell.stats.median / reference.stats.median:.2f}", **texts}


def _size(cell: Cell) -> dict[str, str | None]:
    peak, disk = peak_rss(cell), cell.artifact_bytes
    return {
        "peak RSS": None if peak is None else gigabytes(peak),
        "disk": None if disk is None else gigabytes(disk),
    }


def executed(precision: Precision) -> str:
    """In a few words: "int8 -> int8 61 %, bf16 39 % (int8: 97 % of conv+linear)"."""
    shares = {name: share for name, share in precision.shares.items() if share >= SMALL_SHARE}
    parts = sorted(shares.items(), key=lambda item: -item[1])
    ran = ", ".join(f"{name} {_percent(share)}" for name, share in parts)
    if len(parts) < 2:
        ran = precision.executed
    text = f"{precision.stored} -> {ran}"
    if "int8" in precision.layer_shares:
        text += f" (int8: {_percent(precision.layer_shares['int8'])} of conv+linear)"
    return printable(text)


def _fidelity(cell: Cell, found: Fidelity) -> dict[str, str | None]:
    psnr = None if found.image_psnr_db is None else f"{found.image_psnr_db:.1f}"
    sqnr = found.sqnr_db.get("unet")
    return {
        "PSNR, dB": "equal" if is_equal(cell) else psnr,
        "SQNR, dB": None if sqnr is None else f"{sqnr:.1f}",
        "right": None
        if found.attributes_right is None
        else f"{100 * found.attributes_right:.1f} %",
    }


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f} %"
