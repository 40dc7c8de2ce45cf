"""Lines through sweeps."""

import pytest

from sdrt_bench.bench.cells import cell_name, group_name
from sdrt_bench.bench.record import Cell, Params, Round
from sdrt_bench.bench.scaling_fit import Axis, scaling_fits
from sdrt_bench.bench.summary import stats_of


def cell(seconds: float, **fields: object) -> Cell:
    given = {"backend": "openvino", "precision": "fp32", "width": 64, "height": 64, "threads": 1}
    params = Params.model_validate({"model": "demo", **given, **fields})
    rounds = (Round(step_s=(9, seconds), image_s=10 * seconds),)
    return Cell(
        name=cell_name(params),
        group=group_name(params),
        params=params,
        rounds=rounds,
        stats=stats_of(rounds),
    )


def test_a_line_is_found_again() -> None:
    cells = [cell(0.5 + 0.25 * batch, batch=batch) for batch in (4, 1, 2)]
    (line,) = scaling_fits(cells, "batch")
    assert (line.x, line.y) == ((1, 2, 4), (0.75, 1.0, 1.5))
    assert line.constant == pytest.approx(0.5)
    assert line.slope == pytest.approx(0.25)
    assert line.r_squared == pytest.approx(1)
    assert line.cells[0] == cells[1].name


def test_perfect_threads_have_an_exponent_of_minus_one() -> None:
    (line,) = scaling_fits([cell(8 / n, threads=n) for n in (1, 2, 4, 8)], "threads")
    assert line.exponent == pytest.approx(-1)
    assert line.r_squared < 0.9


@pytest.mark.parametrize(
    ("over", "fields", "x", "y"),
    [
        ("size", [{"width": 64}, {"width": 128}], (4096, 8192), (1, 1)),
        ("steps", [{"steps": 5}, {"steps": 10}], (5, 10), (10, 10)),
    ],
)
def test_what_is_drawn_over_what(
    over: Axis, fields: list[dict[str, int]], x: tuple[int, ...], y: tuple[float, ...]
) -> None:
    (line,) = scaling_fits([cell(1, **changes) for changes in fields], over)
    assert (line.x, line.y) == (x, y)
    assert line.y_label == ("seconds to the image" if over == "steps" else line.y_label)


def test_engines_have_lines_of_their_own_and_one_point_has_none() -> None:
    cells = [cell(1, batch=n, backend=name) for name in ("a", "b") for n in (1, 2)]
    failed = cell(1, batch=1, backend="c").model_copy(update={"status": "failed"})
    assert len(scaling_fits([*cells, failed, cell(1, backend="d")], "batch")) == 2
