"""How a cost grows along a sweep: a line through the cells that differ in one thing only."""

import statistics
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from sdrt_bench.bench.record import Cell, Growth, Params

Axis = Literal["size", "batch", "threads", "steps"]
AXES: tuple[Axis, ...] = get_args(Axis)
FIELDS: dict[Axis, set[str]] = {
    "size": {"width", "height"},
    "batch": {"batch"},
    "threads": {"threads"},
    "steps": {"steps"},
}
STEP, IMAGE = "median seconds of a step", "seconds to the image"


def growths(cells: Sequence[Cell], over: Axis) -> tuple[Growth, ...]:
    """A line for each set of cells that are alike in all but the axis; of two values or more."""
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.status == "ok" and _y(cell, over) is not None:
            key = cell.params.model_dump_json(exclude=FIELDS[over])
            alike.setdefault(key, []).append(cell)
    found = [_line(group, over) for group in alike.values()]
    return tuple(line for line in found if line)


def _line(cells: Sequence[Cell], over: Axis) -> Growth | None:
    ordered = sorted(cells, key=lambda cell: _x(cell.params, over))
    x = [_x(cell.params, over) for cell in ordered]
    if len(set(x)) < 2:
        return None
    y = [found for cell in ordered if (found := _y(cell, over)) is not None]
    slope, constant = (float(value) for value in np.polyfit(x, y, 1))
    off = sum((one - constant - slope * at) ** 2 for at, one in zip(x, y, strict=True))
    spread = sum((one - statistics.fmean(y)) ** 2 for one in y)
    is_positive = all(one > 0 for one in y)
    return Growth(
        over=over,
        cells=tuple(cell.name for cell in ordered),
        x=tuple(x),
        y=tuple(y),
        y_label=IMAGE if over == "steps" else STEP,
        exponent=float(np.polyfit(np.log(x), np.log(y), 1)[0]) if is_positive else None,
        constant=constant,
        slope=slope,
        r_squared=1 - off / spread if spread else 1.0,
    )


def _x(params: Params, over: Axis) -> float:
    if over == "size":
        return float(params.width * params.height)
    return float(getattr(params, over))


def _y(cell: Cell, over: Axis) -> float | None:
    if over != "steps":
        return cell.stats.median if cell.stats else None
    times = [one.image_s for one in cell.rounds if one.image_s is not None]
    return statistics.median(times) if times else None
