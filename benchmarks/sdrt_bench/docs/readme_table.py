"""Tables of the documentation, written from a benchmark's record.

    python -m sdrt_bench.docs.readme_table RECORD.json README.md RESULTS.md

README gets a row for each precision of sdrt and one for the fastest peer, RESULTS every cell. Both
files keep whatever stands outside the markers.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sdrt.errors import SdrtError, UsageError
from sdrt.files.atomic import whole_file
from sdrt_bench.bench.record import Cell, Record, read_record
from sdrt_bench.bench.report.rows import (
    TableBlock,
    TableRow,
    blocks,
    figure,
    gigabytes,
    label,
    peak_rss,
    printable,
)
from sdrt_bench.bench.report.table import to_markdown
from sdrt_bench.docs.markdown_blocks import read_document, with_marked

SUMMARY, CELLS = "benchmark-summary", "benchmark"
PRECISIONS = ("fp32", "bf16", "int8")
HEAD = (
    "| | time per step | peak memory | picture against fp32, PSNR | U-Net against fp32, SQNR |",
    "| --- | ---: | ---: | ---: | ---: |",
)
FIDELITY = ("PSNR, dB", "SQNR, dB")  # columns of the full table


def with_cells(page: str, record: Record) -> str:
    """The page with every cell of the record between its markers; raises `UsageError` without."""
    return with_marked(page, CELLS, to_markdown(record, level=2))


def with_summary(readme: str, record: Record, link: str) -> str:
    """The README with `summary` between its markers; raises `UsageError` without markers."""
    return with_marked(readme, SUMMARY, summary(record, link))


def summary(record: Record, link: str) -> str:
    """A Markdown table of the record's first block, at most four rows, and where it comes from.

    The rows are sdrt's fastest cell in each precision and the fastest cell of any peer. Cells whose
    times are marked as noisy are taken only where there are no others, and say so. `link` is the
    record's address. Raises `UsageError` if nothing was measured.
    """
    block = next(iter(blocks(record)), None)
    rows = [] if block is None else list(_rows(block))
    if block is None or not rows:
        raise UsageError("the record has no cell that was measured; expected at least one")
    machine = record.machine_info
    about = (
        f"{block.title}; {machine.processor}, {machine.cores} cores, "
        f"{gigabytes(machine.memory_bytes)}; {record.datetime[:10]}, [record]({link})."
    )
    return "\n".join([*HEAD, *rows, "", about]) + "\n"


def _rows(block: TableBlock) -> list[str]:
    measured = [row for row in block.rows if row.cell.stats]
    ours = [row for row in measured if row.cell.params.tool == "sdrt"]
    chosen = [
        (f"sdrt {precision}", fastest)
        for precision in PRECISIONS
        if (fastest := _fastest([row for row in ours if row.cell.params.precision == precision]))
    ]
    if peer := _fastest([row for row in measured if row.cell.params.tool != "sdrt"]):
        params = peer.cell.params
        name = printable(f"{params.tool} {params.precision}, {params.settings} settings")
        chosen.append((f"fastest peer: {name}", peer))
    return [_line(name, row, block.reference) for name, row in chosen]


def _fastest(rows: Sequence[TableRow]) -> TableRow | None:
    quiet = [row for row in rows if not row.cell.timing_warnings]
    return min(quiet or rows, key=lambda row: _step(row.cell), default=None)


def _step(cell: Cell) -> float:
    assert cell.stats is not None
    return cell.stats.median


def _line(name: str, row: TableRow, reference: str | None) -> str:
    cell = row.cell
    is_reference = cell.params.tool == "sdrt" and label(cell.params) == reference
    peak = peak_rss(cell)
    texts = [
        name + (" (noisy)" if cell.timing_warnings else ""),
        f"{figure(_step(cell))} s",
        "-" if peak is None else gigabytes(peak),
        *("reference" if is_reference else _decibels(row, column) for column in FIDELITY),
    ]
    return f"| {' | '.join(texts)} |"


def _decibels(row: TableRow, column: str) -> str:
    text = row.texts.get(column, "-")
    return text if text in ("-", "equal") else f"{text} dB"


def _filled(path: Path, fill: Callable[[str], str]) -> str:
    try:
        return fill(read_document(path))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def main(arguments: list[str]) -> int:
    """Rewrite RECORD's tables in README and RESULTS; the exit code."""
    if len(arguments) != 3:
        usage = "usage: python -m sdrt_bench.docs.readme_table RECORD.json README.md RESULTS.md"
        print(usage, file=sys.stderr)
        return UsageError.exit_code
    source, readme, page = map(Path, arguments)
    link = Path(os.path.relpath(source, readme.parent)).as_posix()
    try:
        record = read_record(source)
        texts = {
            readme: _filled(readme, lambda text: with_summary(text, record, link)),
            page: _filled(page, lambda text: with_cells(text, record)),
        }
        for path, text in texts.items():
            with whole_file(path) as partial:
                partial.write_text(text, encoding="utf-8")
    except SdrtError as error:
        print(f"sdrt: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
