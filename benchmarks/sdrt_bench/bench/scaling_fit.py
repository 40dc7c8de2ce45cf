"""How time scales along a sweep: a line through the cells that differ in one parameter."""

import statistics
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from sdrt_bench.bench.record import Cell, Params, ScalingFit

Axis = Literal["size", "batch", "threads", "steps"]
AXES: tuple[Axis, ...] = get_args(Axis)
FIELDS: dict[Axis, set[str]] = {
    "size": {"width", "height"},
    "batch": {"batch"},
    "threads": {"threads"},
    "steps": {"steps"},
}
STEP, IMAGE = "median seconds of a step", "seconds to the image"


def scaling_fits(cells: Sequence[Cell], axis: Axis) -> tuple[ScalingFit, ...]:
    """Fit a line to each set of cells that differ only along the axis, in two values or more."""
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.status == "ok" and _y(cell, axis) is not None:
            key = cell.params.model_dump_json(exclude=FIELDS[axis])
            alike.setdefault(key, []).append(cell)
    fits = [_line(group, axis) for group in alike.values()]
    return tuple(line for line in fits if line)


def _line(cells: Sequence[Cell], axis: Axis) -> ScalingFit | None:
    ordered = sorted(cells, key=lambda cell: _x(cell.params, axis))
    x = [_x(cell.params, axis) for cell in ordered]
    if len(set(x)) < 2:
        return None
    y = [seconds for cell in ordered if (seconds := _y(cell, axis)) is not None]
    slope, constant = (float(value) for value in np.polyfit(x, y, 1))
    residual = sum((b - constant - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    spread = sum((b - statistics.fmean(y)) ** 2 for b in y)
    is_positive = all(b > 0 for b in y)
    return ScalingFit(
        axis=axis,
        cells=tuple(cell.name for cell in ordered),
        x=tuple(x),
        y=tuple(y),
        y_label=IMAGE if axis == "steps" else STEP,
        exponent=float(np.polyfit(np.log(x), np.log(y), 1)[0]) if is_positive else None,
        constant=constant,
        slope=slope,
        r_squared=1 - residual / spread if spread else 1.0,
    )


def _x(params: Params, axis: Axis) -> float:
    if axis == "size":
        return float(params.width * params.height)
    return float(getattr(params, axis))


def _y(cell: Cell, axis: Axis) -> float | None:
    if axis != "steps":
        return cell.stats.median if cell.stats else None
    times = [measured.image_s for measured in cell.rounds if measured.image_s is not None]
    return statistics.median(times) if times else None
