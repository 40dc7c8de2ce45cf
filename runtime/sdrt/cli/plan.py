"""`sdrt plan`: what a number of pictures takes on machines like this one."""

import json
import re
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sdrt.cli.option_types import JSON, EngineOptions, option, option_group
from sdrt.errors import OutOfMemoryError, UsageError

if TYPE_CHECKING:
    from sdrt.batch.planning import Fleet, Measured, Setting, Work
    from sdrt.batch.rows import Row
    from sdrt.cores import Placement
    from sdrt.memory.estimate import MemoryPlan
    from sdrt.pipeline import Pipeline

PROMPT = "a red boat on the sea at sunset"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FLEETS = (1, 10, 100, 1000, 10_000)


@dataclass(frozen=True)
class PlanOptions:
    """Everything that `sdrt plan` takes."""

    engine: EngineOptions
    images: int = option(
        "--images", type=click.IntRange(1), default=1_000_000, show_default=True, metavar="N"
    )
    within: str = option(
        "--within", default="24h", show_default=True, help="Time for all of them: 90m, 24h, 7d."
    )
    model: str | None = option("-m", "--model", metavar="PATH", help="Default: embedded.")
    shared: tuple[str, ...] = option(
        "--set",
        metavar="NAME=VALUE",
        multiple=True,
        help="An option of the pictures, as in sdrt batch, such as steps=20.",
    )
    repeat: int = option(
        "--repeat",
        type=click.IntRange(1),
        default=3,
        show_default=True,
        help="Pictures that each process makes after its first one.",
    )
    price: float | None = option(
        "--price-per-core-hour",
        type=click.FloatRange(0),
        metavar="PRICE",
        help="What an hour of a core costs, in any currency.",
    )
    machine_rate: str = option(
        "--machine-rate",
        default="1G",
        show_default=True,
        help="Bytes a second that a machine gets from the store of models and pictures.",
    )
    store_rate: str = option(
        "--store-rate",
        default="50G",
        show_default=True,
        help="Bytes a second that the store gives all machines together.",
    )


@click.command()
@option_group("options", PlanOptions)
@JSON
def plan(options: PlanOptions, as_json: bool) -> None:
    """Measure pictures on this machine, and say how many like it --images need --within a time.

    Each way to divide the cores among processes is measured; a fleet takes the one that makes most.
    Fleets are computed, not run.
    """
    from sdrt.batch.planning import Work, fewest_machines, fleet
    from sdrt.cores import placement
    from sdrt.memory.budget import read_bytes

    if options.engine.threads:
        raise UsageError("sdrt plan divides the cores itself; leave out --threads")
    within = _seconds(options.within)
    rates = [
        float(read_bytes(text, name))
        for text, name in (
            (options.machine_rate, "--machine-rate"),
            (options.store_rate, "--store-rate"),
        )
    ]
    place = placement()
    # With its threads given, this process keeps all cores for those that it starts.
    pipe = replace(options.engine, threads=place.threads).load_to_keep(options.model)
    (row,) = _rows(options, 1)
    memory = pipe.start(row.prompt, **row.options).plan
    tried = _tried(options, place, memory, pipe)
    found = [measured for measured in tried.values() if not isinstance(measured, str)]
    if not found:
        raise OutOfMemoryError("; ".join(map(str, tried.values())))
    best = max(found, key=lambda measured: measured.per_second)
    work = Work(options.images, best.picture_bytes, _model_bytes(pipe), *rates)
    fleets = [fleet(machines, work, best) for machines in FLEETS]
    enough = fewest_machines(within, work, best)
    if as_json:
        click.echo(json.dumps(_record(tried, memory, work, enough, fleets, options), indent=2))
    else:
        _print_settings(tried, memory, options)
        _print_fleets(work, enough, fleets, best, options)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip(), re.ASCII)
    if match is None or not float(match[1]):
        raise UsageError(f"--within is {text!r}; expected for example 90m, 24h or 7d")
    return float(match[1]) * UNITS[match[2]]


def _rows(options: PlanOptions, count: int) -> "list[Row]":
    """So many rows with the options; raises `UsageError` for options that cannot be."""
    from sdrt.batch.rows import rows_of

    return rows_of([PROMPT] * count, options.shared)


def _tried(
    options: PlanOptions, place: "Placement", memory: "MemoryPlan", pipe: "Pipeline"
) -> "dict[Setting, Measured | str]":
    """What each setting measured, or why it was not."""
    from sdrt.batch.planning import measure, settings

    tried: dict[Setting, Measured | str] = {}
    for setting, places in settings(place):
        try:
            pipe.budget.check_side_by_side(memory, setting.workers)
        except OutOfMemoryError as error:
            tried[setting] = str(error)
            continue
        engine = replace(options.engine, threads=setting.threads)
        load = partial(engine.load_to_keep, options.model)
        rows = _rows(options, setting.workers * (1 + options.repeat))
        tried[setting] = measure(setting, places, load, rows)
    return tried


def _model_bytes(pipe: "Pipeline") -> int:
    """Bytes of the files that the engine opens."""
    manifest, formats = pipe.manifest, pipe.backend.formats
    names = {
        file
        for graph in manifest.graphs.values()
        for file in next((graph.files[name] for name in formats if name in graph.files), ())
    }
    return sum(record.size for name, record in manifest.files.items() if name in names)


def _core_hours(measured: "Measured") -> float:
    """Hours of cores for a thousand pictures."""
    setting = measured.setting
    return setting.workers * setting.threads * 1000 / measured.per_second / 3600


def _print_settings(
    tried: "dict[Setting, Measured | str]", memory: "MemoryPlan", options: PlanOptions
) -> None:
    name, needed = memory.peak()
    click.echo(f"{needed / 1e9:.1f} GB of memory for each process, while {name} runs\n")
    price = "" if options.price is None else f"{'price of 1,000':>16}"
    click.echo(
        f"{'processes x threads':>20}{'s a picture':>13}{'pictures/h':>12}"
        f"{'core h of 1,000':>17}{price}"
    )
    for setting, measured in tried.items():
        label = f"{setting.workers} x {setting.threads}"
        if isinstance(measured, str):
            click.echo(f"{label:>20}  {measured}")
            continue
        hours = _core_hours(measured)
        price = "" if options.price is None else f"{hours * options.price:>16.3g}"
        seconds = measured.seconds / measured.pictures
        click.echo(
            f"{label:>20}{seconds:>13.3g}{measured.per_second * 3600:>12,.0f}{hours:>17.3g}{price}"
        )


def _print_fleets(
    work: "Work", enough: "Fleet", fleets: "list[Fleet]", best: "Measured", options: PlanOptions
) -> None:
    machines = "1 machine" if enough.machines == 1 else f"{enough.machines:,} machines"
    cost = _cost(work, best, options)
    click.echo(
        f"\n{work.images:,} pictures within {options.within}: {machines} like this one, each with "
        f"{best.setting.workers} x {best.setting.threads} threads{cost}"
    )
    click.echo("\nComputed from these figures, not run:\n")
    click.echo(f"{'machines':>10}{'hours':>10}  most of it for")
    for each in sorted({*fleets, enough}, key=lambda each: each.machines):
        click.echo(f"{each.machines:>10,}{each.seconds / 3600:>10.3g}  {each.bound}")


def _cost(work: "Work", best: "Measured", options: PlanOptions) -> str:
    if options.price is None:
        return ""
    return f", for {_core_hours(best) * options.price * work.images / 1000:,.2f} in all"


def _record(
    tried: "dict[Setting, Measured | str]",
    memory: "MemoryPlan",
    work: "Work",
    enough: "Fleet",
    fleets: "list[Fleet]",
    options: PlanOptions,
) -> dict[str, Any]:
    settings: list[dict[str, Any]] = []
    for setting, measured in tried.items():
        entry: dict[str, Any] = asdict(setting)
        if isinstance(measured, str):
            entry["refused"] = measured
        else:
            entry |= {
                "picture_s": measured.seconds / measured.pictures,
                "pictures_per_hour": measured.per_second * 3600,
                "start_s": measured.start_s,
                "core_hours_per_1000": _core_hours(measured),
            }
            if options.price is not None:
                entry["price_per_1000"] = _core_hours(measured) * options.price
        settings.append(entry)
    return {
        "process_bytes": memory.peak()[1],
        "settings": settings,
        "work": asdict(work),
        "enough": _fleet_record(enough),
        "fleets": [_fleet_record(each) for each in fleets],
    }


def _fleet_record(each: "Fleet") -> dict[str, Any]:
    return {**asdict(each), "seconds": each.seconds, "bound": each.bound}
