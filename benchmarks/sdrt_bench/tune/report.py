"""The report of a search: the front as a table and as plain values."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sdrt_bench.tune.best import balanced, peers_default, plain_db, untricked_db
from sdrt_bench.tune.record import Result, TuneRecord, front
from sdrt_bench.tune.setting import PEERS_DEFAULT, Setting

BALANCED = "no worse than it, fastest"


@dataclass(frozen=True)
class Row:
    """One setting, with what plain settings reach in its time."""

    name: str
    """What it stands for besides the front: the peers' default; or empty."""
    setting: Setting
    evaluations: int
    predicted_s: float
    measured_s: float | None
    """Median over the rounds; None for what was not measured."""
    median_db: float
    p10_db: float
    accuracy: float | None
    plain_db: float | None
    """Plain dpm++2m reaches this in the same time, with fewer steps; for settings with a trick."""
    untricked_db: float | None
    """The best settings without a trick reach this in the same time; likewise."""

    @property
    def gain_db(self) -> float | None:
        """How much more a trick reaches than plain dpm++2m in the same time."""
        return None if self.plain_db is None else self.median_db - self.plain_db

    @property
    def untricked_gain_db(self) -> float | None:
        """How much more a trick reaches than the best setting without one in the same time."""
        return None if self.untricked_db is None else self.median_db - self.untricked_db

    def to_record(self) -> dict[str, Any]:
        """Give plain values; infinite decibels, of equal pictures, are None."""
        values = {
            **asdict(self),
            "setting": self.setting.model_dump(),
            "label": self.setting.label,
            "gain_db": self.gain_db,
            "untricked_gain_db": self.untricked_gain_db,
        }
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True)
class Report:
    """What a search found."""

    record: TuneRecord
    front: Sequence[Row]
    """The settings that no other beats in time and median, the fastest first."""
    peers_default: Row | None
    balanced: Row | None
    """The fastest setting that is no worse than the peers' default."""

    @classmethod
    def of(cls, record: TuneRecord) -> "Report":
        """Report on a record in which at least one setting was tried."""
        peers = peers_default(record)
        by_setting = {result.setting: result for result in record.results}
        other, chosen = by_setting.get(peers), balanced(record)
        is_there = other is not None and len(other.psnr_db) >= record.prompts
        return cls(
            record,
            [row(record, result) for result in front(record.results, record.prompts)],
            row(record, other, PEERS_DEFAULT) if other and is_there else None,
            row(record, chosen, BALANCED) if chosen else None,
        )

    def to_record(self) -> dict[str, Any]:
        """Give all figures as plain values."""
        record = self.record
        return {
            "identity": record.identity.model_dump(),
            "prompts": record.prompts,
            "settings_tried": len(record.results),
            "costs": record.costs.model_dump() if record.costs else None,
            "front": [each.to_record() for each in self.front],
            "peers_default": self.peers_default.to_record() if self.peers_default else None,
            "balanced": self.balanced.to_record() if self.balanced else None,
        }

    def to_text(self) -> str:
        """Write a table."""
        identity, record = self.record.identity, self.record
        rows = [*self.front, *filter(None, (self.peers_default, self.balanced))]
        width = max(len(title(each)) for each in rows) + 2
        heads = ("s", "predicted", "evals", "median", "p10", "right", "plain", "gain", "gain*")
        lines = [
            f"{identity.model}, executed in {identity.executed_precision} on {identity.backend}, "
            f"{identity.threads} threads; {identity.width}x{identity.height}, guidance "
            f"{identity.guidance_scale:g}, {record.prompts} prompt{'s' * (record.prompts > 1)}",
            f"PSNR in dB against {identity.reference}; {len(record.results)} settings tried",
            *self._timed_lines(),
            "",
            f"{'front':{width}}" + "".join(f"{head:>10}" for head in heads),
            *(_line(each, width) for each in self.front),
            *(_line(each, width) for each in rows[len(self.front) :]),
            "",
            "plain: dpm++2m with fewer steps in the time of a setting with a trick; gain: what the",
            "trick adds to it; gain*: to the best sampler and scheduler without a trick",
        ]
        return "\n".join(lines)

    def _timed_lines(self) -> list[str]:
        identity = self.record.identity
        if identity.timed_model_hash == identity.model_hash:
            return []
        return [f"times of {identity.timed_model}, executed in {identity.timed_precision}"]


def row(record: TuneRecord, result: Result, name: str = "") -> Row:
    """Give a result the figures that it is read with."""
    count, seconds = record.prompts, result.predicted_s
    spread = result.closeness(count)
    tricky = result.setting.uses_trick
    return Row(
        name=name,
        setting=result.setting,
        evaluations=result.evaluations,
        predicted_s=seconds,
        measured_s=median(result.measured_s) if result.measured_s else None,
        median_db=spread.median,
        p10_db=spread.p10,
        accuracy=result.accuracy(count),
        plain_db=plain_db(record, seconds) if tricky else None,
        untricked_db=untricked_db(record, seconds) if tricky else None,
    )


def title(row: Row) -> str:
    """Name a row."""
    return f"{row.name}: {row.setting.label}" if row.name else row.setting.label


def _line(row: Row, width: int) -> str:
    cells = [
        _number(row.measured_s, ".3g"),
        _number(row.predicted_s, ".3g"),
        str(row.evaluations),
        _number(row.median_db, ".1f"),
        _number(row.p10_db, ".1f"),
        "-" if row.accuracy is None else f"{100 * row.accuracy:.1f} %",
        _number(row.plain_db, ".1f"),
        _number(row.gain_db, "+.1f"),
        _number(row.untricked_gain_db, "+.1f"),
    ]
    return f"{title(row):{width}}" + "".join(f"{cell:>10}" for cell in cells)


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return f"{value:{form}}" if math.isfinite(value) else "equal"
