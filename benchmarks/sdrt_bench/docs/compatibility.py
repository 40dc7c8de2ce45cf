"""Exchanges model folders with other tools: `python -m sdrt_bench.docs.compatibility`.

The outcomes go into a record, and as tables into a Markdown file, between its markers.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import sdrt
from sdrt.cores import default_threads
from sdrt.errors import ParityError, SdrtError, UsageError
from sdrt.files.atomic import whole_file
from sdrt.files.cache import cache_folder
from sdrt.validation import hint
from sdrt_bench.bench.peers.environments import environment_specs, prepare
from sdrt_bench.compat.exchange import TOOLS, Exchange, Outcome, Tool, exchanges, run
from sdrt_bench.compat.models import MODELS
from sdrt_bench.compat.painting import ENGINES, PROMPT, SAMPLER, SEED, STEPS
from sdrt_bench.compat.record import ExchangeRow, merge, read_rows
from sdrt_bench.docs.markdown_blocks import read_document, with_marked

MARK = "compatibility"
HEADS = {
    "optimum": "Exported by optimum, opened by sdrt",
    "sdrt": "Exported by sdrt, opened by others",
}
TOOL_NAMES = tuple(tool.name for tool in TOOLS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run the exchanges; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("record", type=Path, help="JSON; what was measured before stays in it")
    parser.add_argument("document", type=Path, help="Markdown, with markers for the tables")
    parser.add_argument("--models", default=",".join(MODELS), help="default: %(default)s")
    parser.add_argument("--tools", default=",".join(TOOL_NAMES), help="default: %(default)s")
    parser.add_argument("--exporters", default=",".join(HEADS), help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=default_threads())
    args = parser.parse_args(arguments)
    try:
        models = _choose("model", args.models, MODELS)
        tools = _choose("tool", args.tools, TOOL_NAMES)
        exporters = _choose("exporter", args.exporters, tuple(HEADS))
        chosen = [
            exchange
            for exchange in exchanges(models)
            if exchange.tool.name in tools and exchange.stored.exporter in exporters
        ]
        return _run(args.record, args.document, chosen, args.threads)
    except SdrtError as error:
        print(f"sdrt: {error}", file=sys.stderr)
        return error.exit_code


def _run(record: Path, document: Path, chosen: Sequence[Exchange], threads: int) -> int:
    read_rows(record)  # files of another kind are found before the work
    with_marked(read_document(document), MARK, "")
    cache, rows = cache_folder() / "peers", []
    for outcome in run(chosen, cache, threads):
        rows.append(ExchangeRow.from_outcome(outcome, _versions(outcome, cache)))
        print(f"{rows[-1].name}: {rows[-1].error or rows[-1].shown}", flush=True)
    order = [
        ExchangeRow.from_outcome(Outcome(exchange, None), "").key for exchange in exchanges(MODELS)
    ]
    text = with_marked(read_document(document), MARK, tables(merge(record, rows, order)))
    with whole_file(document) as partial:
        partial.write_text(text, encoding="utf-8")
    if wrong := [row for row in rows if not row.is_right]:
        raise ParityError(
            f"{len(wrong)} of {len(rows)} exchanges failed, the first of them: {wrong[0].name}: "
            f"{wrong[0].error or wrong[0].shown}"
        )
    return 0


def tables(rows: Sequence[ExchangeRow]) -> str:
    """Write Markdown: the request, the versions, and a table for each direction."""
    versions = "; ".join(dict.fromkeys(row.versions for row in rows if row.versions))
    lines = [
        f"Prompt `{PROMPT}`, seed {SEED}, {STEPS} steps of `{SAMPLER}`, guided, on the same "
        f"noise; PSNR of the two pictures in 8 bits, where 'equal' is every pixel. {versions}.",
        "",
    ]
    for exporter, head in HEADS.items():
        if chosen := [row for row in rows if row.exporter == exporter]:
            lines += [f"### {head}", "", *_table(chosen), ""]
    lines += [f"- {row.name}: {row.error}" for row in rows if row.error]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: Sequence[ExchangeRow]) -> list[str]:
    """Write a line for each kind of export and each tool, a column for each model."""
    models = [name for name in MODELS if any(row.model == name for row in rows)]
    shown: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        key = (row.format, row.stored, row.executed, row.tool)
        shown.setdefault(key, {})[row.model] = row.shown
    lines = [
        _cells(["format", "stored", "executed", "sdrt against", *models]),
        _cells(["---"] * 4 + ["---:"] * len(models)),
    ]
    return lines + [
        _cells([*key, *(cells.get(model, "-") for model in models)]) for key, cells in shown.items()
    ]


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _versions(outcome: Outcome, cache: Path) -> str:
    tool: Tool = outcome.exchange.tool
    versions = prepare(environment_specs()[tool.environment], cache).versions
    theirs = ", ".join(f"{name} {versions.get(name, 'unknown')}" for name in tool.packages)
    engine = ENGINES[tool.format]
    return f"sdrt {sdrt.__version__} on {engine} {version(engine)} with {theirs}"


def _choose(kind: str, text: str, names: Sequence[str]) -> list[str]:
    """Read names with commas between them; raises `UsageError` for an unknown one."""
    chosen = text.split(",")
    for name in chosen:
        if name not in names:
            raise UsageError(
                f"no {kind} is called {name!r}{hint(name, names)}; expected {', '.join(names)}"
            )
    return chosen


if __name__ == "__main__":
    sys.exit(main())
