"""The record of a search: whose it is, what things cost, and how close each setting came."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from sdrt.errors import UsageError, WriteError
from sdrt.files.atomic import whole_file
from sdrt.manifest import Model, Spacing, explain_validation_error
from sdrt_bench.pareto import pareto
from sdrt_bench.similarity import Spread
from sdrt_bench.tune.costs import Costs
from sdrt_bench.tune.setting import Setting

SCHEMA: Literal[1] = 1
FILE = "record.json"
SAME_TIME = 0.01
"""Times that differ by a smaller share are the same."""
FEW = 8
"""The first stage of a search paints no more prompts than these."""


class Identity(Model):
    """What has to be the same for two searches to share their results."""

    version: str
    model: str
    model_hash: str
    backend: str
    executed_precision: str
    timed_model: str
    timed_model_hash: str
    timed_precision: str
    """The precision that the timed model executes."""
    processor: str
    cores: int
    threads: int
    width: int
    height: int
    guidance_scale: float
    spacing: Spacing
    """Spacing of timesteps that is the model's own."""
    seed: int
    prompts: tuple[str, ...]
    reference: str
    """How the converged pictures are made."""


class Result(Model):
    """One setting: its time, and its pictures of the first prompts against the converged ones."""

    setting: Setting
    evaluations: int
    """The U-Net is evaluated so many times for a picture."""
    predicted_s: float
    """A picture takes so long by the costs of its parts."""
    measured_s: tuple[float, ...] = ()
    """Whole pictures took so long, each in a round of its own."""
    psnr_db: tuple[float | None, ...] = ()
    """PSNR of each prompt's picture to its converged picture; None for equal pictures."""
    shown: tuple[dict[str, bool], ...] = ()
    """Which attributes of its prompt each picture shows, where that is known."""

    def closeness(self, count: int) -> Spread:
        """How PSNR is distributed over the first `count` prompts."""
        first = self.psnr_db[:count]
        return Spread.from_values([math.inf if value is None else value for value in first])

    def accuracy(self, count: int) -> float | None:
        """The share of attributes that the first `count` pictures show, where it is known."""
        if not self.shown:
            return None
        from sdrt_bench.scenes.checker import accuracy

        return accuracy(self.shown[:count])["all_attributes"]


class TuneRecord(Model):
    """Everything that is known; changed by replacing parts of it."""

    # "schema" is the name of a method of pydantic's classes.
    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    identity: Identity
    references: tuple[str, ...] = ()
    """SHA-256 of the files of the converged pictures, in the order of the prompts."""
    costs: Costs | None = None
    results: tuple[Result, ...] = ()

    @property
    def prompts(self) -> int:
        """How many prompts the report is about: all, those of the first stage, or 0 so far."""
        full = len(self.identity.prompts)
        done = max((len(result.psnr_db) for result in self.results), default=0)
        return next((count for count in (full, min(full, FEW)) if done >= count), 0)


def front(results: Iterable[Result], count: int) -> list[Result]:
    """Of results for `count` prompts or more, those that no other beats in time and median.

    What is faster by less than `SAME_TIME` counts as no faster, because no measurement shows it.
    """
    best: dict[tuple[float, float], Result] = {}
    for result in results:
        if len(result.psnr_db) >= count:
            best.setdefault((result.predicted_s, result.closeness(count).median), result)
    kept: list[Result] = []
    for point in reversed(pareto(list(best))):
        if not kept or point[0] < kept[-1].predicted_s * (1 - SAME_TIME):
            kept.append(best[point])
    return kept[::-1]


def as_points(results: Iterable[Result], count: int) -> list[tuple[float, float]]:
    """Seconds and median PSNR of results for `count` prompts or more."""
    return [
        (result.predicted_s, result.closeness(count).median)
        for result in results
        if len(result.psnr_db) >= count
    ]


class RecordFile:
    """A record that grows, and its place on disk."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """Read the folder's record, or begin one.

        Raises `UsageError` for a file that is no record, or the record of another search.
        """
        self.path = folder / FILE
        if self.path.exists():
            record = read_record(self.path)
            check_identity(self.path, record.identity, identity)
        else:
            record = TuneRecord(identity=identity)
        self._head = record
        self._results = {result.setting: result for result in record.results}

    @property
    def record(self) -> TuneRecord:
        """The record as it is now."""
        return self._head.model_copy(update={"results": tuple(self._results.values())})

    @property
    def results(self) -> Sequence[Result]:
        """Every result there is."""
        return tuple(self._results.values())

    def result(self, setting: Setting) -> Result | None:
        """What is known of a setting."""
        return self._results.get(setting)

    def put(self, result: Result) -> None:
        """Add a result, or replace that of the same setting."""
        self._results[result.setting] = result

    def change(self, **fields: Any) -> None:
        """Replace other fields of the record."""
        self._head = self._head.model_copy(update=fields)

    def save(self) -> None:
        """Write the record to disk, whole; makes the folder if it is not there."""
        make_folder(self.path.parent)
        text = self.record.model_dump_json(by_alias=True)
        with whole_file(self.path) as partial:
            partial.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Make a folder whose parent exists; raises `WriteError`."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"cannot make the folder {folder}: {error.strerror}; check its place and permissions"
        ) from error


def read_record(path: Path) -> TuneRecord:
    """Read a record; raises `UsageError` that names what is wrong with the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; choose another --output") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid JSON ({error}); expected a record of sdrt tune; choose another "
            "--output"
        ) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise UsageError(
            f"{path} has schema {schema!r}, this sdrt reads schema {SCHEMA} of records of sdrt "
            "tune; choose another --output"
        )
    try:
        return TuneRecord.model_validate(data)
    except ValidationError as error:
        raise UsageError(
            f"{path}: {explain_validation_error(error)}; choose another --output"
        ) from error


def check_identity(path: Path, recorded: Identity, present: Identity) -> None:
    """Raise `UsageError`, with the first difference, for the record of another search."""
    for name in Identity.model_fields:
        before, now = getattr(recorded, name), getattr(present, name)
        if before == now:
            continue
        if name == "prompts":
            before, now = (f"{len(texts)}, from {texts[0]!r} on" for texts in (before, now))
        raise UsageError(
            f"{path} is the record of another search: its {name.replace('_', ' ')} is {before}, "
            f"expected {now}; choose another --output, or repeat the command that began it"
        )
