"""One `sdrt bench` from its cells to its record: checks, peaks, rounds, fidelity."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdrt.errors import SdrtError
from sdrt.version import __version__
from sdrt_bench.bench.cells import Models, cell_name, group_name
from sdrt_bench.bench.fidelity import compare_cells, encoded, reference_of
from sdrt_bench.bench.provenance import commit_info, machine_info
from sdrt_bench.bench.record import Cell, CellFidelity, Params, Peak, Record
from sdrt_bench.bench.record_file import RecordFile, reusable_cells
from sdrt_bench.bench.round_protocol import CellRunner, RoundFailure, RoundResult
from sdrt_bench.bench.runner import OURS, SdrtRunner, error_class, rounds, run_side_job
from sdrt_bench.bench.scaling_fit import Axis, scaling_fits
from sdrt_bench.bench.summary import compute_of, images_per_hour, stats_of, timing_warnings
from sdrt_bench.prompts import paints_scenes

LARGE = 400_000_000  # bytes of a U-Net's weights, from which on a few steps are enough
FEW_STEPS = 4

Watch = Callable[[str, int], AbstractContextManager[object]]
"""It is given the name of the next piece of work, and its share of the whole, in rounds."""


def unwatched(name: str, share: int) -> AbstractContextManager[object]:
    """Report to nobody."""
    return nullcontext()


@dataclass(frozen=True)
class SessionSettings:
    """How to measure, whatever the cells are."""

    repeat: int = 2
    measure: int | None = None
    """Each round has so many steps; None stands for all, or a few of large models."""
    accuracy: int = 24
    """So many prompts with a known answer are painted; only the embedded model has such."""
    with_fidelity: bool = True
    with_images: bool = True
    """Whether images stay in the record; they are compared in any case."""
    peak_seconds: float = 0.5
    """Each layer of the roofline is measured so long; 0 leaves it out."""
    ignore_memory: bool = False
    redo_noisy: bool = False
    """Whether a resumed record keeps no cell whose times cannot be trusted."""
    sweep: Axis | None = None
    command: tuple[str, ...] = ()


@dataclass
class Session:
    """Measures cells and keeps their record."""

    models: Models
    file: RecordFile
    settings: SessionSettings
    runners: Mapping[str, CellRunner]
    watch: Watch = unwatched
    warnings: dict[str, None] = field(default_factory=dict)
    """They are in order, each once."""

    @classmethod
    def prepare(
        cls,
        models: Models,
        cells: Sequence[Params],
        output: Path,
        settings: SessionSettings,
        resumed: Record | None = None,
        peers: Mapping[str, CellRunner] | None = None,
    ) -> "Session":
        """Prepare; with a record to resume, its cells keep what was measured of them.

        Raises `UsageError` where that record is from another machine or release.
        """
        kept = reusable_cells(resumed, settings.redo_noisy) if resumed else {}
        record = Record(
            version=__version__,
            datetime=resumed.datetime if resumed else datetime.now(UTC).isoformat(),
            command=settings.command,
            machine_info=machine_info(resumed.machine_info.peaks if resumed else ()),
            commit_info=commit_info(),
            benchmarks=tuple(
                kept.get(cell_name(params))
                or Cell(name=cell_name(params), group=group_name(params), params=params)
                for params in cells
            ),
        )
        runners = {OURS: SdrtRunner(models, settings.ignore_memory), **(peers or {})}
        return cls(models, RecordFile(record, output), settings, runners)

    @property
    def total(self) -> int:
        """How much there is to do, in rounds."""
        engines = len(self.file.by_engine())
        side_jobs = engines + (engines if self.settings.with_fidelity else 0)
        return side_jobs + 2 + len(self.file.cells) * self.settings.repeat

    def run(self) -> Record:
        """Check, measure peaks and all rounds, then compare; the record is written after each.

        What is finished stays in the record whatever ends this early, Ctrl-C included. Raises
        `UnsupportedError` at once where an engine executes another precision than it was asked to.
        """
        macs = self._check()
        self._measure_peaks()
        try:
            self._measure_rounds()
        finally:
            self._complete(macs)
        if self.settings.with_fidelity:
            self._add_sqnr()
            self._add_accuracy()
        if not self.settings.with_images:
            for cell in self.file.cells:
                self.file.change_cell(cell.name, image=None)
        self.file.write()
        shutil.rmtree(self.file.latents_folder, ignore_errors=True)
        return self.file.record

    def raise_failure(self) -> None:
        """Raise the first error of a cell of sdrt; peers' failures are only rows of the table."""
        for cell in self.file.own_cells:
            if cell.status == "failed":
                raise error_class(cell.error_kind or "")(cell.error or "")

    def _check(self) -> dict[str, tuple[int, int]]:
        """Check engines and memory; gives the multiply-adds of a step by the cell's name."""
        macs: dict[str, tuple[int, int]] = {}
        for cells in self.file.by_engine().values():
            params = cells[0].params
            with self.watch(f"checking {params.backend} {params.precision}", 1):
                checked = run_side_job(
                    "check",
                    {
                        "artifact": self._artifact(params),
                        "cells": [cell.params.model_dump() for cell in cells],
                        "ignore_memory": self.settings.ignore_memory,
                    },
                )
            macs |= {
                name: (total, attention) for name, (total, attention) in checked["macs"].items()
            }
            for name, reason in checked["skipped"].items():
                self.file.change_cell(name, status="skipped", error=reason)
        self.file.write()
        return macs

    def _measure_peaks(self) -> None:
        requests = [cell.params for cell in self.file.own_cells if cell.status == "ok"]
        seconds, machine = self.settings.peak_seconds, self.file.record.machine_info
        if not requests or not seconds or machine.peaks:
            return
        precisions = ["fp32", *(params.precision for params in requests)]
        peaks: list[Peak] = []
        try:
            with self.watch("measuring the machine's peaks", 1):
                for threads in dict.fromkeys(params.threads for params in requests):
                    arguments = {
                        "backends": list(dict.fromkeys(params.backend for params in requests)),
                        "precisions": list(dict.fromkeys(precisions)),
                        "threads": threads,
                        "seconds": seconds,
                    }
                    measured = run_side_job("peaks", arguments)
                    peaks += [Peak.model_validate(peak) for peak in measured]
        except SdrtError as error:
            self.warnings[f"no peaks of this machine: {error}"] = None
        self.file.change(machine_info=machine.model_copy(update={"peaks": tuple(peaks)}))

    def _measure_rounds(self) -> None:
        pending = rounds(
            self.file.cells,
            self.runners,
            self.settings.repeat,
            self._steps,
            self.file.latents_folder,
        )
        while True:
            with self.watch("measuring", 1):
                done = next(pending, None)
            if done is None:
                return
            self._keep(*done)
            self.file.write()

    def _steps(self, params: Params) -> int:
        """How many steps of a cell are run in a round."""
        if self.settings.measure is not None:
            return min(self.settings.measure, params.steps)
        manifest = self.models.first.manifest
        files = next(iter(manifest.graphs["unet"].files.values()))
        is_large = sum(manifest.files[file].size for file in files) > LARGE
        return min(FEW_STEPS, params.steps) if is_large else params.steps

    def _keep(self, index: int, outcome: RoundResult | RoundFailure) -> None:
        cell = self.file.cells[index]
        if isinstance(outcome, RoundFailure):
            status = "skipped" if outcome.kind == "OutOfMemoryError" else "failed"
            kind = outcome.kind or None
            self.file.change_cell(cell.name, status=status, error=outcome.error, error_kind=kind)
            return
        self.warnings.update({f"{cell.name}: {text}": None for text in outcome.warnings})
        measured = (*cell.rounds, outcome.round)
        self.file.change_cell(
            cell.name,
            rounds=measured,
            precision=outcome.precision,
            artifact_bytes=outcome.artifact_bytes,
            versions=outcome.versions,
            options={**cell.options, **outcome.options},
            stats=stats_of(measured),
            images_per_hour=images_per_hour(measured, cell.params.batch),
            timing_warnings=timing_warnings(measured),
            image=cell.image or (encoded(outcome.picture) if outcome.picture else None),
        )

    def _complete(self, macs: Mapping[str, tuple[int, int]]) -> None:
        """Add everything that follows from the rounds."""
        cells, peaks = self.file.cells, self.file.record.machine_info.peaks
        by_group = {cell.group: macs[cell.name] for cell in reversed(cells) if cell.name in macs}
        for index, cell in enumerate(cells):
            if not cell.rounds:
                continue
            # A peer computes the same network, whatever it makes of it.
            counted = macs.get(cell.name) or by_group.get(cell.group)
            compute = compute_of(cell, counted, peaks) if counted else cell.compute
            self.file.change_cell(cell.name, compute=compute, fidelity=self._fidelity(index, cell))
        if self.settings.sweep:
            self.file.change(scaling=scaling_fits(self.file.cells, self.settings.sweep))
        self.file.write()

    def _fidelity(self, index: int, cell: Cell) -> CellFidelity | None:
        """None for peers: some draw other noise, and some decode latents that are still noisy."""
        if cell.params.tool != OURS:
            return None
        reference = reference_of(cell, self.file.cells)
        if reference is None or not reference.rounds:
            return cell.fidelity
        indices = index, self.file.cells.index(reference)
        files = (self.file.latents_folder / str(i) / "0" / "latents.npz" for i in indices)
        compared = compare_cells(cell, reference, *files)
        # The latents of a resumed record may be gone, and the figures are there.
        is_kept = cell.fidelity and not compared.latent_psnr_db
        return cell.fidelity if is_kept else compared

    def _add_sqnr(self) -> None:
        """Add each network's signal-to-error ratio, measured once for an engine and a precision."""
        for cells in self.file.by_engine().values():
            params = cells[0].params
            artifact = self._artifact(params)
            reference = self.models.executing("fp32")
            against = str(reference.root) if reference else None
            if (against == artifact or against is None) and params.precision == "int8":
                continue
            arguments = {
                "artifact": artifact,
                "params": params.model_dump(),
                "against": None if against == artifact else against,
            }
            with self.watch(f"networks of {params.backend} {params.precision}", 1):
                sqnr_db = self._try_side_job("sqnr", arguments)
            if sqnr_db:
                self._add_figures(cells, {"sqnr_db": sqnr_db})

    def _add_accuracy(self) -> None:
        """Add how often prompts with a known answer are painted as they say."""
        if not self.settings.accuracy or not paints_scenes(self.models.first.manifest):
            return
        alike: dict[str, list[Cell]] = {}
        for cell in self.file.own_cells:
            if cell.rounds:
                key = cell.params.model_dump_json(exclude={"threads", "batch", "prompt"})
                alike.setdefault(key, []).append(cell)
        requests = [cells[0].params for cells in alike.values()]
        arguments = {
            "prompts": self.settings.accuracy,
            "cells": [
                {"artifact": self._artifact(params), "params": params.model_dump()}
                for params in requests
            ],
        }
        with self.watch("painting prompts", 1):
            measured = self._try_side_job("accuracy", arguments) if requests else None
        for cells, figures in zip(alike.values(), measured or (), strict=False):
            if figures:
                self._add_figures(cells, figures)

    def _add_figures(self, cells: Sequence[Cell], figures: Mapping[str, object]) -> None:
        """Add figures to the fidelity of cells."""
        for cell in cells:
            present = self.file.cell(cell.name)
            if present.rounds:
                fidelity = present.fidelity or CellFidelity(reference="")
                self.file.change_cell(cell.name, fidelity=fidelity.model_copy(update=figures))
        self.file.write()

    def _try_side_job(self, name: str, arguments: Mapping[str, object]) -> Any:
        """Give what a side job gives, or None and a warning: the table is good without it."""
        try:
            return run_side_job(name, arguments)
        except SdrtError as error:
            self.warnings[f"{name} could not be measured: {error}"] = None
            return None

    def _artifact(self, params: Params) -> str:
        artifact = self.models.executing(params.precision)
        assert artifact is not None  # cells() makes no others
        return str(artifact.root)
