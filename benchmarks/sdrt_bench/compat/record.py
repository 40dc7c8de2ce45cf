"""Record of exchanges, kept between runs: each run replaces the rows that it measured."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sdrt.errors import UsageError
from sdrt.files.atomic import whole_file
from sdrt.manifest import Model, explain_validation_error
from sdrt_bench.bench.peers.environments import file_lock
from sdrt_bench.compat.exchange import ENOUGH_DB, EXACT, Outcome


class ExchangeRow(Model):
    """One exchange."""

    model: str
    exporter: str
    format: str
    stored: str
    executed: str
    tool: str
    psnr_db: float | None = None
    """The 8-bit images have this PSNR; None where they are equal, or one is missing."""
    error: str = ""
    """It says why an image is missing."""
    versions: str = ""
    """Both sides have these versions."""

    @classmethod
    def from_outcome(cls, outcome: Outcome, versions: str) -> "ExchangeRow":
        """Make the row of an outcome."""
        exchange, db = outcome.exchange, outcome.psnr_db
        return cls(
            model=exchange.model,
            exporter=exchange.stored.exporter,
            format=exchange.stored.format,
            stored=exchange.stored.precision,
            executed=exchange.executed,
            tool=exchange.tool.name,
            psnr_db=None if db is None or math.isinf(db) else round(db, 1),
            error=" ".join(outcome.error.split()),
            versions=versions,
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What was exchanged, as a key."""
        return self.exporter, self.format, self.stored, self.executed, self.tool, self.model

    @property
    def name(self) -> str:
        """What was exchanged, in words."""
        return (
            f"{self.model}, {self.exporter}'s {self.format} {self.stored} in {self.executed}, "
            f"{self.tool}"
        )

    @property
    def shown(self) -> str:
        """The cell of a table."""
        if self.error:
            return "fails"
        return "equal" if self.psnr_db is None else f"{self.psnr_db:.1f} dB"

    @property
    def is_right(self) -> bool:
        """Whether there are two images, which are alike where the arithmetic is the same."""
        is_near = self.psnr_db is None or self.psnr_db >= ENOUGH_DB
        return not self.error and (is_near or self.executed != EXACT)


ROWS: TypeAdapter[list[ExchangeRow]] = TypeAdapter(list[ExchangeRow])


def read_rows(path: Path) -> list[ExchangeRow]:
    """Read the rows of a record; none if there is no file. Raises `UsageError` for another file."""
    if not path.exists():
        return []
    try:
        return ROWS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        text = explain_validation_error(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{path} is no record of exchanges: {text}") from error


def merge(
    path: Path, rows: Iterable[ExchangeRow], order: Sequence[tuple[str, ...]]
) -> list[ExchangeRow]:
    """Write rows into a record, in place of those of the same exchange; gives all, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path):
        merged = {row.key: row for row in [*read_rows(path), *rows]}
        kept = [merged[key] for key in order if key in merged]
        with whole_file(path) as partial:
            text = json.dumps([row.model_dump() for row in kept], indent=1)
            partial.write_text(text + "\n", encoding="utf-8")
    return kept
