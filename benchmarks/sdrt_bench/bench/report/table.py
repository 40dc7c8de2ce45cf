"""A record as text for a terminal, as CSV with the columns of OpenVINO GenAI's llm_bench, and as
Markdown."""

import base64
import binascii
import csv
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

from sdrt_bench.bench.record import Cell, Record, Round
from sdrt_bench.bench.report.rows import (
    LEFT,
    NOISY,
    UNKNOWN,
    TableBlock,
    blocks,
    provenance,
    verdict,
)

CSV_COLUMNS = (
    *("iteration", "model", "framework", "device", "pretrain_time(s)", "infer_count"),
    *("generation_time(s)", "latency(ms)", "1st_latency(ms)", "2nd_avg_latency(ms)", "precision"),
    *("max_rss_mem(MiB)", "max_sys_mem(MiB)", "prompt_idx", "batch_size", "tokenization_time"),
    "result_md5",
)
Figures = dict[str, float | None]


def to_text(record: Record) -> str:
    """Lay out a record for a terminal."""
    parts = [_text_block(block) for block in blocks(record)]
    return "\n\n".join([*parts, f"{provenance(record)}\n{verdict(record)}"]) + "\n"


def to_markdown(record: Record, level: int = 3) -> str:
    """Lay out a record as Markdown: a heading of this level and a table for each block."""
    parts = [_markdown_block(block, "#" * level) for block in blocks(record)]
    return "\n\n".join([*parts, _escaped(f"{provenance(record)}. {verdict(record)}")]) + "\n"


def to_csv(record: Record) -> str:
    """Write a line for each round and three that sum them up, with llm_bench's columns for images.

    `latency(ms)` is the mean of all steps; the first step and the others have columns of their
    own. The tokenizer alone is not timed, so its column is empty.
    """
    paper = io.StringIO()
    writer = csv.DictWriter(paper, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in record.benchmarks:
        writer.writerows(_csv_rows(cell))
    return paper.getvalue()


def _text_block(block: TableBlock) -> str:
    widths = {
        column: max(len(text) for text in [column, *(r.texts.get(column, "") for r in block.rows)])
        for column in block.columns
    }

    def laid(texts: Mapping[str, str]) -> str:
        cells = [
            texts.get(column, UNKNOWN).ljust(width)
            if column in LEFT
            else texts.get(column, UNKNOWN).rjust(width)
            for column, width in widths.items()
        ]
        return "  ".join(cells).rstrip()

    lines = [block.title, laid({column: column for column in block.columns})]
    for row in block.rows:
        if row.problem:
            lines.append(f"{row.texts['cell'].ljust(widths['cell'])}  {row.problem}")
        else:
            lines.append(laid(row.texts))
    return "\n".join([*lines, *_notes(block)])


def _markdown_block(block: TableBlock, heading: str) -> str:
    lines = [f"{heading} {_escaped(block.title)}", "", _piped(block.columns)]
    lines.append(_piped(["---" if column in LEFT else "---:" for column in block.columns]))
    for row in block.rows:
        texts = [_escaped(row.texts.get(column, UNKNOWN)) for column in block.columns]
        lines.append(_piped(texts))
    problems = [f"{row.texts['cell']} {row.problem}" for row in block.rows if row.problem]
    notes = [_escaped(note) for note in [*problems, *_notes(block)]]
    return "\n".join([*lines, *(["", "  \n".join(notes)] if notes else [])])


def _notes(block: TableBlock) -> list[str]:
    if block.reference is None:
        return list(block.notes)
    return [f"x ref: a step against {block.reference}", *block.notes]


def _piped(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    """Escape what Markdown would interpret; a single tilde means nothing to it."""
    assert NOISY == "~"
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text).replace("-\\>", "->")


def _csv_rows(cell: Cell) -> list[dict[str, object]]:
    params = cell.params
    fixed = {
        "model": params.model,
        "framework": params.backend if params.tool == "sdrt" else params.tool,
        "device": "CPU",
        "infer_count": params.steps,
        "precision": cell.precision.executed if cell.precision else params.precision,
        "prompt_idx": 0,
        "batch_size": params.batch,
        "result_md5": _md5(cell.image),
    }
    rounds = [_csv_figures(measured) for measured in cell.rounds]
    if cell.status != "ok":
        return [{**_formula_free(fixed), "iteration": cell.status}]
    rows: list[tuple[object, Figures]] = list(enumerate(rounds, 1))
    for name, fold in (("avg", fmean), ("mini", min), ("median", median)):
        rows.append((name, _folded(rounds, fold)))
    return [
        {**_formula_free(fixed), "iteration": iteration, **_rounded(figures)}
        for iteration, figures in rows
        if figures
    ]


def _csv_figures(measured: Round) -> Figures:
    steps = [1000 * step for step in measured.step_s]
    return {
        "pretrain_time(s)": sum(measured.load_s.values()) if measured.load_s else None,
        "generation_time(s)": measured.image_s,
        "latency(ms)": fmean(steps) if steps else None,
        "1st_latency(ms)": steps[0] if steps else None,
        "2nd_avg_latency(ms)": fmean(steps[1:]) if len(steps) > 1 else None,
        "max_rss_mem(MiB)": None if measured.peak_rss is None else measured.peak_rss / 2**20,
        "max_sys_mem(MiB)": None if measured.peak_pss is None else measured.peak_pss / 2**20,
    }


def _folded(rounds: Sequence[Figures], fold: Callable[[Sequence[float]], float]) -> Figures:
    folded: Figures = {}
    for name in rounds[0] if rounds else ():
        values = [value for figures in rounds if (value := figures[name]) is not None]
        folded[name] = fold(values) if values else None
    return folded


def _rounded(figures: Figures) -> dict[str, float | None]:
    return {name: value if value is None else round(value, 5) for name, value in figures.items()}


def _formula_free(fields: Mapping[str, object]) -> dict[str, object]:
    """Quote texts that a spreadsheet would compute as a formula, such as a model's name."""
    return {
        name: f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
        for name, value in fields.items()
    }


def _md5(picture: str | None) -> str:
    if picture is None:
        return ""
    try:
        data = base64.b64decode(picture, validate=True)
    except binascii.Error:
        return ""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
