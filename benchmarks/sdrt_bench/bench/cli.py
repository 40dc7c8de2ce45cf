"""`sdrt bench`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sdrt import validation
from sdrt.errors import MissingExtraError, UsageError
from sdrt.files.atomic import check_writable

if TYPE_CHECKING:
    from sdrt_bench.bench.cells import Asked, Models
    from sdrt_bench.bench.record import Params, Record
    from sdrt_bench.bench.round_protocol import Source
    from sdrt_bench.bench.session import Settings, Watch

Value = TypeVar("Value")

SWEEPS = ("size", "batch", "threads", "steps")
QUICK = {"repeat": 1, "accuracy": 4, "probe_seconds": 0.2}
MAX = 1_000_000
GUIDANCE = {True: "guidance", False: "no_guidance"}


@click.command()
@click.argument("artifacts", nargs=-1, metavar="[ARTIFACT]...")
@click.option("--preset", metavar="NAME", help="Export this preset, once, and measure that.")
@click.option("--random", "is_random", is_flag=True, help="With --preset: random weights.")
@click.option("--precision", metavar="X,...", help="To execute: fp32, bf16, int8.")
@click.option("--backend", metavar="X,...", help="openvino, onnxruntime.")
@click.option("--size", metavar="WxH,...", help="Width and height, or one number for both.")
@click.option("--batch", metavar="N,...", help="Pictures at once.")
@click.option("--guidance", is_flag=True, help="Guided cells; default: as the model is used.")
@click.option("--no-guidance", is_flag=True, help="Unguided cells; with --guidance: both.")
@click.option("--steps", metavar="N,...", help="Number of denoising steps.")
@click.option("-t", "--threads", metavar="N,...", help="Default: the cores one may use.")
@click.option("--sampler", metavar="X,...", help="Sampling methods; see: sdrt samplers.")
@click.option("--repeat", type=int, metavar="N", help="Rounds of each cell; default 2.")
@click.option(
    "--measure", type=int, metavar="N", help="Run only the first N steps; large models: 4."
)
@click.option("--sweep", type=click.Choice(SWEEPS), help="Fit how the time grows with one axis.")
@click.option("-p", "--prompt", metavar="TEXT", help="What is painted.")
@click.option("-s", "--seed", type=int, default=0, show_default=True)
@click.option("--accuracy", type=int, metavar="N", help="Prompts with a known answer; default 24.")
@click.option("--no-fidelity", is_flag=True, help="Do not compare single networks with fp32.")
@click.option("--no-pictures", is_flag=True, help="Leave the pictures out of the record.")
@click.option("--no-probe", is_flag=True, help="Do not measure the machine's peaks.")
@click.option("--ignore-memory", is_flag=True, help="Run cells that are predicted not to fit.")
@click.option("--quick", is_flag=True, help="One round, few prompts: less than a minute.")
@click.option("--peers", metavar="X,...|all", help="Other tools to measure in the same table.")
@click.option(
    "--peer-weights",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="What the model was exported from, in diffusers' layout; random weights are known.",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RECORD", help="Go on with it.")
@click.option("--redo-noisy", is_flag=True, help="With --resume: noisy cells anew.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.json", help="The record."
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also a report.")
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Also as CSV.")
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="OLD NEW",
    help="Measure nothing: did the second record get worse than the first?",
)
@click.option(
    "--threshold",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="With --compare: how much slower is still good.",
)
@click.option("--other-machine", is_flag=True, help="With --compare: also of unlike machines.")
@click.option("--schema", is_flag=True, help="Print the record's JSON Schema.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")
@click.option("--json", "as_json", is_flag=True, help="Print the record.")
def bench(
    artifacts: tuple[str, ...],
    preset: str | None,
    is_random: bool,
    compare: tuple[Path, Path] | None,
    threshold: str,
    other_machine: bool,
    schema: bool,
    peers: str | None,
    peer_weights: Path | None,
    resume: Path | None,
    output: Path | None,
    html: Path | None,
    csv: Path | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure time, memory and fidelity of a model: every precision on every engine, in one table.

    ARTIFACT is a model folder, or a folder of such: exports of one model in several precisions;
    the embedded model where none is given. Options with X,... take a list, and every combination
    becomes a cell of the table. Each round of a cell runs in its own process; cells take turns.

    \b
    sdrt bench --quick
    sdrt bench models/sd15-fp32 models/sd15-bf16 models/sd15-int8 --html report.html
    sdrt bench --preset sd15 --random --sweep size --backend openvino
    """
    if schema:
        _print_schema()
        return
    if compare:
        _compare(*compare, threshold, other_machine)
        return
    is_silent = quiet or as_json
    settings = _settings(options)
    if settings.redo_noisy and resume is None:
        raise UsageError("--redo-noisy goes with --resume RECORD")
    if resume is not None:
        from sdrt_bench.bench.record import read_record

        resumed = read_record(resume)
    else:
        resumed = None
    target = output or resume or Path(f"sdrt-bench-{datetime.now():%Y%m%d-%H%M%S}.json")
    for path in (target, html, csv):
        _check_target(path)
    asked = _asked(options)
    models = _models(artifacts, preset, is_random, asked, quiet=is_silent)
    cells, sources = _cells(models, asked, peers, peer_weights)
    from sdrt_bench.bench.session import Session

    session = Session.of(models, cells, target, settings, resumed, sources)
    try:
        with _watched(session.total, is_silent) as session.watch:
            record = session.run()
    except KeyboardInterrupt:
        click.echo(f"sdrt: what is finished is in {target}; go on with --resume {target}", err=True)
        raise
    for warning in session.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    _show(record, html, csv, is_silent)
    if as_json:
        click.echo(record.to_json(), nl=False)
    elif not quiet:
        click.echo(f"\n{target}")
    session.raise_failure()


def _settings(options: dict[str, Any]) -> "Settings":
    from sdrt_bench.bench.session import Settings

    quick = QUICK if options.pop("quick") else {}
    given = {
        "repeat": options.pop("repeat"),
        "accuracy": options.pop("accuracy"),
        "measure": options.pop("measure"),
    }
    least = {"repeat": 1, "accuracy": 0, "measure": 1}
    for name, value in given.items():
        if value is not None:
            validation.whole(name, value, least[name], MAX)
    chosen: dict[str, Any] = {
        **quick,
        **{name: value for name, value in given.items() if value is not None},
        "with_fidelity": not options.pop("no_fidelity"),
        "with_pictures": not options.pop("no_pictures"),
        "ignore_memory": options.pop("ignore_memory"),
        "redo_noisy": options.pop("redo_noisy"),
        "sweep": options["sweep"],
        "command": ("sdrt", *sys.argv[1:]),
    }
    if options.pop("no_probe"):
        chosen["probe_seconds"] = 0.0
    return Settings(**chosen)


def _asked(options: Mapping[str, Any]) -> "Asked":
    from sdrt_bench.bench.cells import PROMPT, Asked

    guidance = [is_guided for is_guided in (True, False) if options[GUIDANCE[is_guided]]]
    return Asked(
        precisions=listed("precision", options["precision"], str),
        backends=listed("backend", options["backend"], str),
        sizes=listed("size", options["size"], parse_size),
        batches=listed("batch", options["batch"], int),
        guidance=guidance or None,
        steps=listed("steps", options["steps"], int),
        threads=listed("threads", options["threads"], int),
        samplers=listed("sampler", options["sampler"], str),
        sweep=options["sweep"],
        seed=options["seed"],
        prompt=PROMPT if options["prompt"] is None else options["prompt"],
    )


def listed(name: str, text: str | None, parse: Callable[[str], Value]) -> list[Value] | None:
    """Values with commas between them, each once; raises `UsageError`."""
    if text is None:
        return None
    try:
        values = [parse(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--{name} is {text!r}; expected a list such as {EXAMPLES[name]}") from (
            error
        )
    if "" in values:
        raise UsageError(f"--{name} is {text!r}; expected a list such as {EXAMPLES[name]}")
    return list(dict.fromkeys(values))


EXAMPLES = {
    "precision": "fp32,bf16",
    "backend": "openvino,onnxruntime",
    "size": "512x512,768",
    "batch": "1,4",
    "steps": "10,20",
    "threads": "1,2",
    "sampler": "ddim,dpm++2m",
    "peers": "diffusers,optimum-intel",
}


def parse_size(text: str) -> tuple[int, int]:
    """ "512x768" or "512"; raises `ValueError`."""
    width, _, height = text.lower().partition("x")
    return int(width), int(height or width)


def _models(
    artifacts: Sequence[str], preset: str | None, is_random: bool, asked: "Asked", quiet: bool
) -> "Models":
    from sdrt_bench.bench.models import open_models, preset_models
    from sdrt_bench.bench.runner import run_aside

    if preset and artifacts:
        raise UsageError("both artifacts and --preset were given; give one of them")
    if is_random and not preset:
        raise UsageError("--random was given without --preset; add for example --preset sd15")
    if not preset:
        return open_models(artifacts)

    def export(name: str, is_random: bool, precision: str, path: Path) -> None:
        if not quiet:
            click.echo(f"exporting {name} in {precision}, once: {path}", err=True)
        arguments = {
            "preset": name,
            "random": is_random,
            "precision": precision,
            "path": str(path),
            "quiet": quiet,
        }
        run_aside("export", arguments, quiet=quiet)

    return preset_models(preset, is_random, asked.precisions, export)


def _cells(
    models: "Models", asked: "Asked", peers: str | None, weights: Path | None
) -> "tuple[list[Params], dict[str, Source]]":
    """Ours, then the peers', and who runs the latter."""
    from sdrt.files.cache import cache_folder
    from sdrt_bench.bench.cells import cells

    ours = cells(models, asked)
    if peers is None:
        if weights is not None:
            raise UsageError("--peer-weights was given without --peers; name some")
        return ours, {}
    try:
        from sdrt_bench.bench.peers import catalogue as others
        from sdrt_bench.bench.peers.weights import Weights
    except ModuleNotFoundError as error:  # their weights are written with torch
        raise MissingExtraError(str(error.name), "all") from error
    chosen, cache = others.named(peers), cache_folder() / "peers"
    theirs = others.cells(chosen, ours)
    source = others.PeerSource(Weights.of(models.first.manifest.source, weights, cache), cache)
    return [*ours, *theirs], {peer.name: source for peer in chosen}


def _check_target(path: Path | None) -> None:
    """Find out before the work whether it can be written."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; give the name of a file")
    check_writable(path, path.parent)


@contextmanager
def _watched(count: int, quiet: bool) -> "Iterator[Watch]":
    """A bar for all the work, with the time that is left, where somebody watches."""
    from tqdm import tqdm

    from sdrt.cli.progress import PROGRESS

    silent = quiet or not sys.stderr.isatty()
    with tqdm(None, "", count, leave=False, disable=silent, bar_format=PROGRESS) as bar:

        @contextmanager
        def watch(what: str, share: int) -> Iterator[None]:
            bar.set_description_str(what)
            yield
            bar.update(share)

        yield watch


def _show(record: "Record", html: Path | None, csv: Path | None, is_silent: bool) -> None:
    from sdrt.files.atomic import whole_file

    texts: list[tuple[Path, str]] = []
    if html:
        from sdrt_bench.bench.report.html import to_html

        texts.append((html, to_html(record)))
    if csv:
        from sdrt_bench.bench.report.table import to_csv

        texts.append((csv, to_csv(record)))
    for path, text in texts:
        with whole_file(path) as target:
            target.write_text(text, encoding="utf-8")
    if not is_silent:
        from sdrt_bench.bench.report.table import to_text

        click.echo(to_text(record))


def _print_schema() -> None:
    from sdrt_bench.bench.record import Record

    click.echo(json.dumps(Record.model_json_schema(by_alias=True), indent=1))


def _compare(old: Path, new: Path, threshold: str, other_machine: bool) -> None:
    from sdrt_bench.bench.record import read_record
    from sdrt_bench.bench.regression import compare, read_threshold

    found = compare(read_record(old), read_record(new), read_threshold(threshold), other_machine)
    click.echo(found.to_text())
    found.check()
