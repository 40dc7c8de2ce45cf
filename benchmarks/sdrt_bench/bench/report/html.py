"""A record as one HTML page without scripts or other files, in light or dark colours."""

import shlex
from collections.abc import Iterable
from html import escape

from sdrt_bench.bench.record import Record
from sdrt_bench.bench.report.figures import figures, scaling
from sdrt_bench.bench.report.rows import (
    LEFT,
    UNKNOWN,
    TableBlock,
    blocks,
    gigabytes,
    label,
    printable,
    verdict,
)
from sdrt_bench.charts.figure import DARK, FAINT, GRID, INK, PAPER, chart_css

LAYOUT = """
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1.2rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; }
th.left, td.left { text-align: left; }
td.problem { white-space: normal; }
svg { display: block; max-width: 100%; height: auto; margin: 1.2rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 180px; } img { width: 100%; height: auto; }
figcaption { font-size: 12px; }
@page { size: landscape; margin: 12mm; }
@media print {
body { max-width: none; margin: 0; font-size: 11px; } table { font-size: 8px; }
th, td { padding: 0.15rem 0.3rem; white-space: normal; }
svg, figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
.wide { overflow: visible; }
}
"""


def to_html(record: Record) -> str:
    """Give the page, which is well-formed XML but for its first line."""
    title = "Benchmark of sdrt"
    swept = {name for fit in record.scaling for name in fit.cells}
    parts = [f"<h1>{title}</h1>", _header(record)]
    for block in blocks(record):
        parts += [f"<h2>{escape(block.title)}</h2>", _table(block)]
        if any(row.cell.name not in swept for row in block.rows):
            parts += figures(block, record)
    if record.scaling:
        parts.append("<h2>Scaling</h2>")
    for chart, lines in scaling(record):
        parts += [chart, _paragraph(lines)]
    parts += _pictures(record)
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        '<meta name="color-scheme" content="light dark" />\n'
        f"<title>{title}</title>\n<style>{_style()}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _style() -> str:
    def colors(paper: str, ink: str, faint: str, grid: str) -> str:
        return (
            f"body {{ background: {paper}; color: {ink}; }}\n"
            f"dt, figcaption, .notes {{ color: {faint}; }}\n"
            f"th, td {{ border-bottom: 1px solid {grid}; }}"
        )

    light = (PAPER, INK, FAINT, GRID)
    dark = colors(*(DARK[color] for color in light))
    media = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
    return "\n".join([LAYOUT, colors(*light), media, chart_css()])


def _header(record: Record) -> str:
    machine, commit = record.machine_info, record.commit_info
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    facts = {
        "measured": record.datetime,
        "sdrt": f"{record.version}, commit {commit.id}{' with changes' if commit.dirty else ''}",
        "command": shlex.join(record.command),
        "machine": f"{machine.processor}, {machine.cores} cores, "
        f"{gigabytes(machine.memory_bytes)}, {machine.system}",
        "instructions": ", ".join(machine.instruction_sets),
        "governor": machine.governor or "",
        "versions": f"Python {machine.python}" + (f", {versions}" if versions else ""),
        "noise": verdict(record),
    }
    rows = [
        f"<dt>{name}</dt><dd>{escape(printable(fact))}</dd>" for name, fact in facts.items() if fact
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _table(block: TableBlock) -> str:
    head = "".join(f"<th{_side(column)}>{escape(column)}</th>" for column in block.columns)
    lines = []
    for row in block.rows:
        if row.problem:
            cells = (
                f'<td class="left">{escape(row.texts["cell"])}</td>'
                f'<td class="left problem" colspan="{max(len(block.columns) - 1, 1)}">'
                f"{escape(row.problem)}</td>"
            )
        else:
            cells = "".join(
                f"<td{_side(column)}>{escape(row.texts.get(column, UNKNOWN))}</td>"
                for column in block.columns
            )
        lines.append(f"<tr>{cells}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="wide">{table}</div>{_notes(block)}'


def _notes(block: TableBlock) -> str:
    notes = list(block.notes)
    if block.reference:
        notes.insert(0, f"x ref: a step against {block.reference}")
    return _paragraph(notes)


def _paragraph(lines: Iterable[str]) -> str:
    words = "<br />".join(escape(printable(line)) for line in lines)
    return f'<p class="notes">{words}</p>' if words else ""


def _side(column: str) -> str:
    return ' class="left"' if column in LEFT else ""


def _pictures(record: Record) -> Iterable[str]:
    images = []
    for cell in record.benchmarks:
        if cell.image:
            size = f"{cell.params.width}x{cell.params.height}"
            words = escape(f"{label(cell.params)}, {printable(cell.params.model)}, {size}")
            source = f"data:image/png;base64,{escape(cell.image)}"
            images.append(
                f'<figure><img src="{source}" alt="{words}" />'
                f"<figcaption>{words}</figcaption></figure>"
            )
    return ["<h2>Pictures</h2>", f'<div class="pictures">{"".join(images)}</div>'] if images else []
