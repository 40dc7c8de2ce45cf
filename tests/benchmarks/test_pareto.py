"""Pareto fronts, and what points reach at a cost."""

import math

import pytest

from sdrt_bench.pareto import best_worth, pareto, stairs, worth_at

POINTS = [(1.0, 20.0), (2.0, 40.0), (3.0, 30.0), (2.5, 40.0), (4.0, 90.0), (1.0, 10.0)]


def test_the_front_holds_what_nothing_beats() -> None:
    assert pareto(POINTS) == [(1.0, 20.0), (2.0, 40.0), (4.0, 90.0)]
    assert pareto([]) == []
    assert pareto([(2.0, math.inf), (3.0, math.inf)]) == [(2.0, math.inf)]


def test_between_two_points_of_the_front_the_line_stays_at_the_lower() -> None:
    assert stairs(pareto(POINTS)) == [(1, 20), (2, 20), (2, 40), (4, 40), (4, 90)]


def test_the_best_for_a_cost_is_one_that_costs_no_more() -> None:
    assert best_worth(POINTS, 3.9) == 40
    assert best_worth(POINTS, 4.0) == 90
    assert best_worth(POINTS, 0.9) == -math.inf


@pytest.mark.parametrize(
    ("cost", "worth"),
    [(1.0, 20.0), (1.5, 30.0), (2.75, 35.0), (4.0, 90.0), (0.9, None), (4.1, None)],
)
def test_between_two_points_worth_is_on_the_line(cost: float, worth: float | None) -> None:
    assert worth_at(POINTS, cost) == (worth if worth is None else pytest.approx(worth))


def test_a_single_point_is_worth_something_at_its_own_cost_only() -> None:
    assert worth_at([(2.0, 7.0)], 2.0) == 7
    assert worth_at([(2.0, 7.0)], 3.0) is None
    assert worth_at([], 1.0) is None


def test_a_line_between_infinite_values_is_infinite() -> None:
    assert worth_at([(1.0, math.inf), (2.0, math.inf)], 1.5) == math.inf
