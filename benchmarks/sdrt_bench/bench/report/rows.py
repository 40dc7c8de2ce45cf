"""A record as rows of short texts, which the terminal, Markdown and HTML lay out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sdrt_bench.bench.record import Cell, CellFidelity, Params, Precision, Record

SMALL_SHARE = 0.005  # a smaller one is not shown
UNKNOWN = "-"
NOISY = "~"
COLUMNS = (
    *("cell", "step, s", "x ref", "image, s", "images/h", "peak RSS", "disk"),
    *("stored -> executed", "of peak", "PSNR, dB", "SQNR, dB", "right"),
)
LEFT = frozenset({"cell", "stored -> executed"})


@dataclass(frozen=True)
class TableRow:
    """One cell of the benchmark."""

    cell: Cell
    texts: Mapping[str, str]
    """They are keyed by column; a cell without a result has its name alone."""
    problem: str | None
    """It says why there is no result: "failed: ..." or "skipped: ..."."""


@dataclass(frozen=True)
class TableBlock:
    """The cells that did the same work: same model, size, batch, guidance, steps and threads."""

    title: str
    reference: str | None
    """This is the label of the row whose step is 1.00."""
    columns: Sequence[str]
    """Only columns in which a row has a text are shown."""
    rows: Sequence[TableRow]
    notes: Sequence[str]
    """Each note says why a row is marked as noisy."""


def blocks(record: Record) -> list[TableBlock]:
    """Put every cell into its block, in the record's order."""
    shapes: dict[str, list[Cell]] = {}
    for cell in record.benchmarks:
        shapes.setdefault(_title(cell.params), []).append(cell)
    return [_block(title, cells) for title, cells in shapes.items()]


def label(params: Params) -> str:
    """Give a name that is unique within its block: "openvino int8", "diffusers bf16 best"."""
    words = [params.backend] if params.tool == "sdrt" else [params.tool]
    words.append(params.precision)
    if params.settings != "ours":
        words.append(params.settings)
    return printable(" ".join(words))


def printable(text: str) -> str:
    """Give the text as one line without control characters, whatever a model is called."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def steady_steps(cell: Cell) -> list[list[float]]:
    """Give each round's steps without its first, which warms up; a single step counts."""
    rounds = [measured.step_s for measured in cell.rounds if measured.step_s]
    return [list(steps[1:] or steps) for steps in rounds]


def peak_rss(cell: Cell) -> int | None:
    """Give the largest resident memory of all rounds, bytes."""
    sizes = (measured.peak_rss for measured in cell.rounds)
    return max((size for size in sizes if size is not None), default=None)


def image_seconds(cell: Cell) -> float | None:
    """Give the median time of all rounds."""
    return median([measured.image_s for measured in cell.rounds if measured.image_s is not None])


def median(values: Sequence[float]) -> float | None:
    """Give the median, or None without any value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def is_equal(cell: Cell) -> bool:
    """Say whether a cell is its own reference, or made exactly the same image."""
    fidelity = cell.fidelity
    if fidelity is None:
        return False
    return fidelity.reference == cell.name or (
        fidelity.image_psnr_db is None and fidelity.image_ssim == 1
    )


def figure(value: float) -> str:
    """Format a number with three figures, never in powers of ten."""
    return f"{value:.{_decimals(value)}f}"


def plus_minus(value: float, spread: float) -> str:
    """Format both with the decimals of the value."""
    return f"{figure(value)} ±{spread:.{_decimals(value)}f}"


def gigabytes(value: float) -> str:
    """Format bytes."""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _decimals(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    return min(max(2 - math.floor(math.log10(abs(value))), 0), 6)


def provenance(record: Record) -> str:
    """Give version, commit, date and machine in one sentence."""
    machine, commit = record.machine_info, record.commit_info
    dirty = " with changes" if commit.dirty else ""
    return printable(
        f"sdrt {record.version}, commit {commit.id[:12]}{dirty}, {record.datetime}; "
        f"{machine.processor}, {machine.cores} cores, {gigabytes(machine.memory_bytes)}"
    )


def verdict(record: Record) -> str:
    """Say whether the machine was quiet enough, in one sentence."""
    measured = [cell for cell in record.benchmarks if cell.status == "ok"]
    noisy = [cell for cell in measured if cell.timing_warnings]
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


def _block(title: str, cells: Sequence[Cell]) -> TableBlock:
    reference = _reference(cells)
    rows = [_row(cell, reference) for cell in cells]
    used = set(chain.from_iterable(row.texts for row in rows))
    notes = [
        printable(f"{NOISY} {label(cell.params)}: {'; '.join(cell.timing_warnings)}")
        for cell in cells
        if cell.timing_warnings and cell.status == "ok"
    ]
    name = label(reference.params) if reference else None
    return TableBlock(title, name, [column for column in COLUMNS if column in used], rows, notes)


def _reference(cells: Sequence[Cell]) -> Cell | None:
    """Give the first cell in fp32, preferably of sdrt."""
    measured = [cell for cell in cells if cell.stats and cell.params.precision == "fp32"]
    ours = [cell for cell in measured if cell.params.tool == "sdrt"]
    return next(iter(ours or measured), None)


def _row(cell: Cell, reference: Cell | None) -> TableRow:
    name = label(cell.params)
    if cell.timing_warnings and cell.status == "ok":
        name += f" {NOISY}"
    if cell.status != "ok":
        why = printable(cell.error or "no reason given")
        return TableRow(cell, {"cell": name}, f"{cell.status}: {why}")
    texts = {
        "cell": name,
        **_speed(cell, reference),
        **_size(cell),
        "stored -> executed": executed(cell.precision) if cell.precision else None,
        "of peak": _percent(cell.compute.share_of_peak) if cell.compute else None,
        **(_fidelity(cell, cell.fidelity) if cell.fidelity else {}),
    }
    return TableRow(cell, {column: text for column, text in texts.items() if text}, None)


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
    """Describe the precision: "int8 -> int8 61 %, bf16 39 % (int8: 97 % of conv+linear)"."""
    shares = {name: share for name, share in precision.shares.items() if share >= SMALL_SHARE}
    parts = sorted(shares.items(), key=lambda item: -item[1])
    ran = ", ".join(f"{name} {_percent(share)}" for name, share in parts)
    if len(parts) < 2:
        ran = precision.executed
    text = f"{precision.stored} -> {ran}"
    if "int8" in precision.layer_shares:
        text += f" (int8: {_percent(precision.layer_shares['int8'])} of conv+linear)"
    return printable(text)


def _fidelity(cell: Cell, fidelity: CellFidelity) -> dict[str, str | None]:
    psnr = None if fidelity.image_psnr_db is None else f"{fidelity.image_psnr_db:.1f}"
    sqnr = fidelity.sqnr_db.get("unet")
    return {
        "PSNR, dB": "equal" if is_equal(cell) else psnr,
        "SQNR, dB": None if sqnr is None else f"{sqnr:.1f}",
        "right": None
        if fidelity.attribute_accuracy is None
        else f"{100 * fidelity.attribute_accuracy:.1f} %",
    }


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f} %"
