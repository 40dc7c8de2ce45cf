"""The record of a session that is being measured; the file on disk is never behind by a round."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sdrt.errors import UsageError
from sdrt.files.atomic import whole_file
from sdrt.files.cache import cache_folder
from sdrt.version import __version__
from sdrt_bench.bench.provenance import machine_info
from sdrt_bench.bench.record import Cell, Record
from sdrt_bench.bench.runner import OURS


@dataclass
class RecordFile:
    """A record that changes cell by cell, and its place on disk."""

    record: Record
    path: Path

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All rows of the table."""
        return self.record.benchmarks

    @property
    def own_cells(self) -> list[Cell]:
        """Cells that sdrt runs itself."""
        return [cell for cell in self.cells if cell.params.tool == OURS]

    @property
    def latents_folder(self) -> Path:
        """Folder for latents of an unfinished session; its name follows from the record's date."""
        digest = hashlib.sha256(self.record.datetime.encode()).hexdigest()[:16]
        return cache_folder() / "bench" / "rounds" / digest

    def by_engine(self) -> dict[tuple[str, str], list[Cell]]:
        """Cells of sdrt by the engine that runs them and the requested precision."""
        engines: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.own_cells:
            engines.setdefault((cell.params.backend, cell.params.precision), []).append(cell)
        return engines

    def cell(self, name: str) -> Cell:
        """Give the present state of a cell."""
        return next(cell for cell in self.cells if cell.name == name)

    def change_cell(self, name: str, **fields: object) -> None:
        """Replace fields of a cell."""
        changed = tuple(
            cell.model_copy(update=fields) if cell.name == name else cell for cell in self.cells
        )
        self.change(benchmarks=changed)

    def change(self, **fields: object) -> None:
        """Replace fields of the record."""
        self.record = self.record.model_copy(update=fields)

    def write(self) -> None:
        """Write the record to disk, whole."""
        with whole_file(self.path) as partial:
            partial.write_text(self.record.to_json(), encoding="utf-8")


def reusable_cells(resumed: Record, redo_noisy: bool) -> dict[str, Cell]:
    """Give the cells to keep by their names: those that were measured, and with `redo_noisy` those
    that were measured on a quiet machine.

    Raises `UsageError` where the record is from another machine or release.
    """
    for kind, recorded, present in (
        ("another release of sdrt", resumed.version, __version__),
        ("another machine", resumed.machine_info.processor, machine_info().processor),
    ):
        if recorded != present:
            raise UsageError(
                f"the record to resume is of {kind} ({recorded}; this one is {present}); measure "
                "everything anew, and compare the records with --compare"
            )
    return {
        cell.name: cell
        for cell in resumed.benchmarks
        if cell.status == "ok" and not (redo_noisy and cell.timing_warnings)
    }
