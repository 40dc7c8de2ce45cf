"""Pareto fronts of points (cost, worth): what no other point beats or equals in both."""

import math
from collections.abc import Sequence

Point = tuple[float, float]
"""A cost, such as seconds, and a worth, such as decibels, which may be infinite."""


def pareto(points: Sequence[Point]) -> list[Point]:
    """Of points (cost, worth) those that no other beats or equals in both, cheapest first."""
    front: list[Point] = []
    for cost, worth in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or worth > front[-1][1]:
            front.append((cost, worth))
    return front


def stairs(front: Sequence[Point]) -> list[Point]:
    """Corners of the line along a front: between two points the better one is not to be had yet."""
    corners = [front[0]]
    for (_, worth), (cost, better) in zip(front, front[1:], strict=False):
        corners += [(cost, worth), (cost, better)]
    return corners


def best_worth(points: Sequence[Point], cost: float) -> float:
    """The largest worth that is to be had for at most this cost; -inf where nothing is."""
    return max((worth for each, worth in points if each <= cost), default=-math.inf)


def worth_at(points: Sequence[Point], cost: float) -> float | None:
    """The worth on the line through points at a cost; None for a cost outside of theirs.

    Several points of one cost count as the best of them.
    """
    best: dict[float, float] = {}
    for each, worth in points:
        best[each] = max(worth, best.get(each, -math.inf))
    if cost in best:
        return best[cost]
    ordered = sorted(best.items())
    for (left, low), (right, high) in zip(ordered, ordered[1:], strict=False):
        if left < cost < right:
            share = (cost - left) / (right - left)
            return low if low == high else low + share * (high - low)
    return None
