"""Comparison of two records of the same cells: which became slower by more than chance explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sdrt.errors import RegressionError, UsageError
from sdrt_bench.bench.record import Cell, MachineInfo, Params, Record
from sdrt_bench.bench.report.rows import executed, gigabytes, label, peak_rss, steady_steps

RESAMPLES = 2000
CONFIDENCE = 95  # percent
ENOUGH = 4  # steps on either side: of fewer an interval would be narrow by accident
Verdict = Literal["better", "same", "worse", "unknown"]


@dataclass(frozen=True)
class CellChange:
    """One cell in both records."""

    params: Params
    verdict: Verdict
    """It is about the time of a step alone, and about whether the cell ran at all."""
    ratio: float | None = None
    """This is the new median over the old one."""
    interval: tuple[float, float] | None = None
    """The ratio lies between these with 95 % confidence."""
    memory_ratio: float | None = None
    psnr_change_db: float | None = None
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Describe the change in one line."""
        parts = [f"{self.verdict:8} {label(self.params)}, {_shape(self.params)}"]
        if self.ratio is not None:
            parts.append(f"step x {self.ratio:.3f}")
        if self.interval is not None:
            parts[-1] += f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        if self.memory_ratio is not None:
            parts.append(f"peak RSS x {self.memory_ratio:.3f}")
        if self.psnr_change_db is not None:
            parts.append(f"PSNR {self.psnr_change_db:+.1f} dB")
        return "; ".join([*parts, *self.notes])


@dataclass(frozen=True)
class Regression:
    """The changes of all cells."""

    threshold: float
    changes: tuple[CellChange, ...]
    only_old: tuple[Params, ...]
    only_new: tuple[Params, ...]

    @property
    def worse(self) -> list[CellChange]:
        """Cells that are slower than allowed, or no longer run."""
        return [change for change in self.changes if change.verdict == "worse"]

    def to_text(self) -> str:
        """Write a line for each cell, and one that sums up."""
        lines = [change.to_text() for change in self.changes]
        for side, params in (("old", self.only_old), ("new", self.only_new)):
            lines += [
                f"only {side} {label(cell_params)}, {_shape(cell_params)}" for cell_params in params
            ]
        verdicts = [change.verdict for change in self.changes]
        counts = ", ".join(
            f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)
        )
        allowed = f"more than {100 * self.threshold:g} % slower is worse"
        return "\n".join([*lines, f"{counts or 'no cell is in both'}; {allowed}"])

    def check(self) -> None:
        """Raise `RegressionError`, which names the cells that are worse, if there are any."""
        if self.worse:
            names = "; ".join(
                change.to_text().removeprefix("worse").strip() for change in self.worse
            )
            raise RegressionError(
                f"{len(self.worse)} of {len(self.changes)} cells are worse by more than "
                f"{100 * self.threshold:g} %: {names}; find the commit, or allow more with "
                "--threshold"
            )


def compare(
    old: Record, new: Record, threshold: float, is_other_machine: bool = False
) -> Regression:
    """Match cells by their parameters; raises `UsageError` for records of unlike machines."""
    if threshold < 0:
        raise UsageError(f"the threshold is {threshold:g}; expected a share from 0, such as 5%")
    if not is_other_machine:
        _check_machines(old.machine_info, new.machine_info)
    before, after = _by_params(old), _by_params(new)
    changes = [_change(cell, after[key], threshold) for key, cell in before.items() if key in after]
    return Regression(
        threshold,
        tuple(changes),
        tuple(cell.params for key, cell in before.items() if key not in after),
        tuple(cell.params for key, cell in after.items() if key not in before),
    )


def read_threshold(text: str) -> float:
    """Read a share such as "5%" or "0.05"; raises `UsageError`."""
    number = text.strip()
    try:
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = -1.0
    if not 0 <= share < 10:
        raise UsageError(f"--threshold is {text!r}; expected a share such as 5% or 0.05")
    return share


def ratio_interval(
    old: Sequence[Sequence[float]], new: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """Give the 95 % confidence interval of new median over old median, for steps by round.

    A hierarchical bootstrap: rounds are drawn first and steps inside them, because steps of one
    process are more alike than those of two.
    """
    chance = np.random.default_rng(0)
    ratios = _medians(new, chance) / _medians(old, chance)
    outside = (100 - CONFIDENCE) / 2
    low, high = np.percentile(ratios, [outside, 100 - outside])
    return float(low), float(high)


def _medians(
    rounds: Sequence[Sequence[float]], chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Medians of resamples, each with as many steps of a drawn round as the longest round has."""
    lengths = np.array([len(steps) for steps in rounds])
    samples = np.zeros((len(rounds), lengths.max()))
    for row, steps in zip(samples, rounds, strict=True):
        row[: len(steps)] = steps
    drawn = chance.integers(len(rounds), size=(RESAMPLES, len(rounds), 1))
    shares = chance.random((RESAMPLES, len(rounds), lengths.max()))
    picked = samples[drawn, (shares * lengths[drawn]).astype(np.int64)]
    medians: npt.NDArray[np.float64] = np.median(picked.reshape(RESAMPLES, -1), axis=1)
    return medians


def _by_params(record: Record) -> dict[tuple[str, int], Cell]:
    """Cells by their parameters, and by their order where several have the same."""
    cells: dict[tuple[str, int], Cell] = {}
    for cell in record.benchmarks:
        key = cell.params.model_dump_json()
        cells[key, sum(other == key for other, _ in cells)] = cell
    return cells


def _change(old: Cell, new: Cell, threshold: float) -> CellChange:
    notes = _notes(old, new)
    if old.status != "ok" or new.status != "ok":
        verdict: Verdict = "worse" if old.status == "ok" and new.status == "failed" else "unknown"
        return CellChange(new.params, verdict, notes=notes)
    ratio, interval, verdict = None, None, "unknown"
    before, after = steady_steps(old), steady_steps(new)
    if before and after:
        medians = [float(np.median(np.concatenate(rounds))) for rounds in (before, after)]
        ratio = medians[1] / medians[0] if medians[0] else None
    if ratio is not None and min(sum(map(len, before)), sum(map(len, after))) < ENOUGH:
        notes = (*notes, f"fewer than {ENOUGH} steps on one side")
    elif ratio is not None:
        interval = ratio_interval(before, after)
        verdict = _verdict(interval, threshold)
    return CellChange(
        new.params, verdict, ratio, interval, _memory_ratio(old, new), _psnr_change(old, new), notes
    )


def _verdict(interval: tuple[float, float], threshold: float) -> Verdict:
    """A cell changed only if the whole interval lies beyond the threshold."""
    low, high = interval
    if low > 1 + threshold:
        return "worse"
    return "better" if high < 1 / (1 + threshold) else "same"


def _memory_ratio(old: Cell, new: Cell) -> float | None:
    before, after = peak_rss(old), peak_rss(new)
    return after / before if before and after else None


def _psnr_change(old: Cell, new: Cell) -> float | None:
    """None where either image is equal to its reference, or unknown."""
    figures = [cell.fidelity.image_psnr_db if cell.fidelity else None for cell in (old, new)]
    before, after = figures
    return after - before if before is not None and after is not None else None


def _notes(old: Cell, new: Cell) -> tuple[str, ...]:
    notes = []
    for side, cell in (("old", old), ("new", new)):
        if cell.status != "ok":
            notes.append(f"{side} {cell.status}: {cell.error or 'no reason given'}")
        elif cell.timing_warnings:
            notes.append(f"{side} is noisy")
    ran = [executed(cell.precision) if cell.precision else None for cell in (old, new)]
    kinds = [cell.precision.executed if cell.precision else None for cell in (old, new)]
    if None not in kinds and kinds[0] != kinds[1]:
        notes.append(f"executed before {ran[0]}, now {ran[1]}")
    return tuple(notes)


def _shape(params: Params) -> str:
    return (
        f"{params.model} {params.width}x{params.height} batch {params.batch} "
        f"{params.steps} steps {params.threads} threads"
    )


def _check_machines(old: MachineInfo, new: MachineInfo) -> None:
    facts = [
        (machine.processor, machine.cores, tuple(sorted(machine.instruction_sets)))
        for machine in (old, new)
    ]
    if facts[0] != facts[1]:
        described = [
            f"{machine.processor}, {machine.cores} cores, {gigabytes(machine.memory_bytes)}"
            for machine in (old, new)
        ]
        raise UsageError(
            f"the old record is of {described[0]}, the new one of {described[1]}; times of two "
            "machines say nothing about sdrt: measure on one, or say --other-machine"
        )
