"""Exchange model folders with other tools: `python -m sdrt_bench.compat.command`.

Writes a table for each direction into docs/compatibility.md, between its markers.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import sdrt
from sdrt.errors import ParityError, SdrtError, UsageError
from sdrt.files import whole_file
from sdrt.integrity import cache_folder
from sdrt.machine import usable_cores
from sdrt_bench.bench.peers.environments import prepare, recipes
from sdrt_bench.compat.exchange import TOOLS, Exchange, Outcome, Tool, exchanges, run, shown
from sdrt_bench.compat.models import MODELS
from sdrt_bench.compat.painting import ENGINES, PROMPT, SAMPLER, SEED, STEPS
from sdrt_bench.marked import with_marked

MARK = "compatibility"
HEADS = {
    "optimum": "Exported by optimum, opened by sdrt",
    "sdrt": "Exported by sdrt, opened by others",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, and do it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS), help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--into", type=Path, help="a Markdown file with markers for the tables")
    args = parser.parse_args(arguments)
    try:
        return _run(args.models.split(","), args.threads, args.into)
    except SdrtError as error:
        print(f"sdrt: {error}", file=sys.stderr)
        return error.exit_code


def _run(models: Sequence[str], threads: int, into: Path | None) -> int:
    unknown = [one for one in models if one not in MODELS]
    if unknown:
        raise UsageError(f"no model is called {unknown[0]!r}; expected some of {', '.join(MODELS)}")
    text = _text(into) if into else ""
    if into:
        with_marked(text, MARK, "")  # a file without markers is found before the work
    outcomes = []
    cache = cache_folder() / "peers"
    for outcome in run(list(exchanges(models)), cache, threads):
        print(_line(outcome), flush=True)
        outcomes.append(outcome)
    if into:
        told = {tool.name: _versions(tool, cache) for tool in TOOLS}
        with whole_file(into) as partial:
            partial.write_text(with_marked(text, MARK, tables(outcomes, told)), encoding="utf-8")
    wrong = [one for one in outcomes if not one.is_right]
    if wrong:
        raise ParityError(f"{len(wrong)} of {len(outcomes)} exchanges failed: {_line(wrong[0])}")
    return 0


def tables(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> str:
    """Markdown: what was asked, the versions, and a table for each direction."""
    lines = [
        f"sdrt {sdrt.__version__} ({_own_versions()}) with {'; '.join(versions.values())}. "
        f"Prompt `{PROMPT}`, seed {SEED}, {STEPS} steps of `{SAMPLER}`, guided, on the same noise; "
        "PSNR of the two pictures in 8 bits, where 'equal' is every pixel.",
        "",
    ]
    for exporter, head in HEADS.items():
        chosen = [one for one in outcomes if one.exchange.stored.exporter == exporter]
        if chosen:
            lines += [f"### {head}", "", *_table(chosen), ""]
    failed = [one for one in outcomes if one.psnr_db is None]
    lines += [f"- {_name(one.exchange)}: {' '.join(one.error.split())}" for one in failed]
    return "\n".join(lines) + "\n"


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    """A row for each way to store and each tool, a column for each model."""
    models = list(dict.fromkeys(one.exchange.model for one in outcomes))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one in outcomes:
        exchange = one.exchange
        key = (
            exchange.stored.format,
            exchange.stored.precision,
            exchange.executed,
            exchange.tool.name,
        )
        rows.setdefault(key, {})[exchange.model] = shown(one.psnr_db)
    head = ["format", "stored", "executed", "sdrt against", *models]
    lines = [_cells(head), _cells(["---"] * 4 + ["---:"] * len(models))]
    lines += [
        _cells([*key, *(row.get(model, "-") for model in models)]) for key, row in rows.items()
    ]
    return lines


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _line(outcome: Outcome) -> str:
    return f"{_name(outcome.exchange)}: {outcome.error or shown(outcome.psnr_db)}"


def _name(one: Exchange) -> str:
    stored = one.stored
    return (
        f"{one.model}, {stored.exporter}'s {stored.format} {stored.precision} in {one.executed}, "
        f"{one.tool.name}"
    )


def _versions(tool: Tool, cache: Path) -> str:
    found = prepare(recipes()[tool.environment], cache).versions
    first, *others = (f"{name} {found.get(name, 'unknown')}" for name in tool.packages)
    return f"{first} ({', '.join(others)})"


def _own_versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ENGINES.values())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
