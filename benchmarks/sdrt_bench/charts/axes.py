"""Axes and colours of every chart, whatever draws it."""

import math

# Okabe and Ito 2008, without yellow and black: blue, vermilion, green, purple, orange, sky.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TICKS = 6  # about so many on an axis
NICE = (1, 2, 2.5, 5, 10)


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """About `count` round numbers, evenly spaced, from at most `low` to at least `high`."""
    span = high - low
    if span <= 0:
        around = abs(low) / 2 or 0.5
        return ticks(low - around, low + around, 3)
    rough = span / (count - 1)
    unit = 10 ** math.floor(math.log10(rough))
    step = next(nice * unit for nice in NICE if nice * unit >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def whole_ticks(low: float, high: float) -> list[float]:
    """Whole numbers for an axis of counted things: both ends, and multiples that keep away."""
    first, last = math.ceil(low), math.floor(high)
    wanted = (last - first) / 10
    unit = 10 ** max(0, math.floor(math.log10(max(1, wanted))))
    gap = next(nice * unit for nice in (1, 2, 5, 10) if nice * unit >= wanted)
    inner = [i for i in range(first, last) if i % gap == 0 and 2 * min(i - first, last - i) >= gap]
    return [float(i) for i in dict.fromkeys([first, *inner, last])]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from at most `low` to at least `high`, both positive."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [float(f"{k}e{i}") for i in range(first, last + 1) for k in (1, 2, 5)]
    start = max(i for i, value in enumerate(marks) if value <= low)
    stop = min(i for i, value in enumerate(marks) if value >= high and i > start)
    return marks[start : stop + 1]


def mark(value: float) -> str:
    """A tick's label."""
    return f"{value:g}"
