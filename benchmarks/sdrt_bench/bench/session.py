"""One `sdrt bench` from its cells to its record; the record on disk is never behind by a round."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sdrt
from sdrt.errors import SdrtError, UsageError
from sdrt.files.atomic import whole_file
from sdrt.files.cache import cache_folder
from sdrt_bench.bench.cells import Models, cell_name, group_name
from sdrt_bench.bench.fidelity import distance, encoded, reference_of
from sdrt_bench.bench.provenance import commit_info, machine_info
from sdrt_bench.bench.record import Cell, Fidelity, Params, Peak, Record, Work
from sdrt_bench.bench.round_protocol import Failure, Result, Source
from sdrt_bench.bench.runner import OURS, OwnSource, error_of, rounds, run_aside
from sdrt_bench.bench.scaling_fit import Axis, growths
from sdrt_bench.bench.summary import images_per_hour, noisy, stats_of
from sdrt_bench.prompts import paints_scenes

LARGE = 400_000_000  # bytes of a U-Net's weights, from which on few steps say enough
FEW_STEPS = 4

Watch = Callable[[str, int], AbstractContextManager[object]]
"""Is told what is done next, and how much of the whole it is, in rounds."""


def unwatched(what: str, share: int) -> AbstractContextManager[object]:
    """Nobody looks."""
    return nullcontext()


@dataclass(frozen=True)
class Settings:
    """How to measure, whatever the cells are."""

    repeat: int = 2
    measure: int | None = None
    """Steps of each round; None: all, or a few of large models."""
    accuracy: int = 24
    """Prompts with a known answer; only the embedded model has such."""
    with_fidelity: bool = True
    with_pictures: bool = True
    """Whether they are in the record; compared they are in any case."""
    probe_seconds: float = 0.5
    """For each layer of the roofline; 0: none."""
    ignore_memory: bool = False
    redo_noisy: bool = False
    """Whether what is resumed keeps no cell that was noisy."""
    sweep: Axis | None = None
    command: tuple[str, ...] = ()


@dataclass
class Session:
    """Measures cells and keeps their record."""

    models: Models
    record: Record
    output: Path
    settings: Settings
    sources: Mapping[str, Source]
    watch: Watch = unwatched
    warnings: dict[str, None] = field(default_factory=dict)
    """In order, each once."""

    @classmethod
    def of(
        cls,
        models: Models,
        cells: Sequence[Params],
        output: Path,
        settings: Settings,
        resumed: Record | None = None,
        sources: Mapping[str, Source] | None = None,
    ) -> "Session":
        """Prepare; with a record to resume, its cells keep what was measured of them.

        Raises `UsageError` where that record is from another machine or release.
        """
        kept = _kept(resumed, settings.redo_noisy) if resumed else {}
        record = Record(
            version=sdrt.__version__,
            datetime=resumed.datetime if resumed else datetime.now(UTC).isoformat(),
            command=settings.command,
            machine_info=machine_info(resumed.machine_info.peaks if resumed else ()),
            commit_info=commit_info(),
            benchmarks=tuple(
                kept.get(cell_name(one))
                or Cell(name=cell_name(one), group=group_name(one), params=one)
                for one in cells
            ),
        )
        own = {OURS: OwnSource(models, settings.ignore_memory), **(sources or {})}
        return cls(models, record, output, settings, own)

    @property
    def total(self) -> int:
        """How much there is to do, in rounds."""
        engines = len(self._by_engine())
        sides = engines + (engines if self.settings.with_fidelity else 0)
        return sides + 2 + len(self.record.benchmarks) * self.settings.repeat

    def run(self) -> Record:
        """Check, probe, measure all rounds, then compare; the record is written after each.

        What is finished stays in the record whatever ends this early, Ctrl-C included. Raises
        `UnsupportedError` at once where an engine executes another precision than it was asked to.
        """
        macs = self._check()
        self._probe()
        try:
            self._measure()
        finally:
            self._complete(macs)
        if self.settings.with_fidelity:
            self._add_networks()
            self._add_accuracy()
        if not self.settings.with_pictures:
            for cell in self.record.benchmarks:
                self._change(cell.name, picture=None)
        self._write()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self.record

    def raise_failure(self) -> None:
        """Raise the first error of a cell of ours; peers' failures are rows of the table only."""
        for cell in self.record.benchmarks:
            if cell.params.tool == OURS and cell.status == "failed":
                raise error_of(cell.error_kind or "")(cell.error or "")

    def _check(self) -> dict[str, tuple[int, int]]:
        """Whether engines execute what they are asked; gives multiply-adds by the cell's name."""
        macs: dict[str, tuple[int, int]] = {}
        for cells in self._by_engine().values():
            params = cells[0].params
            with self.watch(f"checking {params.backend} {params.precision}", 1):
                found = run_aside(
                    "check",
                    {
                        "artifact": self._artifact(params),
                        "cells": [cell.params.model_dump() for cell in cells],
                        "ignore_memory": self.settings.ignore_memory,
                    },
                )
            macs |= {name: (total, part) for name, (total, part) in found["macs"].items()}
            for name, why in found["skipped"].items():
                self._change(name, status="skipped", error=why)
        self._write()
        return macs

    def _probe(self) -> None:
        ours = [cell.params for cell in self._ours() if cell.status == "ok"]
        seconds = self.settings.probe_seconds
        if not ours or not seconds or self.record.machine_info.peaks:
            return
        found: list[Peak] = []
        try:
            with self.watch("measuring the machine's peaks", 1):
                for threads in dict.fromkeys(one.threads for one in ours):
                    arguments = {
                        "backends": list(dict.fromkeys(one.backend for one in ours)),
                        "precisions": list(dict.fromkeys(["fp32", *(p.precision for p in ours)])),
                        "threads": threads,
                        "seconds": seconds,
                    }
                    found += [Peak.model_validate(one) for one in run_aside("peaks", arguments)]
        except SdrtError as error:
            self.warnings[f"no peaks of this machine: {error}"] = None
        machine = self.record.machine_info.model_copy(update={"peaks": tuple(found)})
        self.record = self.record.model_copy(update={"machine_info": machine})

    def _measure(self) -> None:
        cells, settings = self.record.benchmarks, self.settings
        pending = rounds(cells, self.sources, settings.repeat, self._steps, self._folder)
        while True:
            with self.watch("measuring", 1):
                done = next(pending, None)
            if done is None:
                return
            self._keep(*done)
            self._write()

    def _steps(self, params: Params) -> int:
        """How many steps of a cell are run in a round."""
        if self.settings.measure is not None:
            return min(self.settings.measure, params.steps)
        manifest = self.models.first.manifest
        files = next(iter(manifest.graphs["unet"].files.values()))
        is_large = sum(manifest.files[file].size for file in files) > LARGE
        return min(FEW_STEPS, params.steps) if is_large else params.steps

    def _keep(self, index: int, outcome: Result | Failure) -> None:
        cell = self.record.benchmarks[index]
        if isinstance(outcome, Failure):
            status = "skipped" if outcome.kind == "OutOfMemoryError" else "failed"
            kind = outcome.kind or None
            self._change(cell.name, status=status, error=outcome.error, error_kind=kind)
            return
        self.warnings.update({f"{cell.name}: {text}": None for text in outcome.warnings})
        measured = (*cell.rounds, outcome.round)
        self._change(
            cell.name,
            rounds=measured,
            precision=outcome.precision,
            artifact_bytes=outcome.artifact_bytes,
            versions=outcome.versions,
            options={**cell.options, **outcome.options},
            stats=stats_of(measured),
            images_per_hour=images_per_hour(measured, cell.params.batch),
            noisy=noisy(measured),
            picture=cell.picture or (encoded(outcome.picture) if outcome.picture else None),
        )

    def _complete(self, macs: Mapping[str, tuple[int, int]]) -> None:
        """Everything that follows from the rounds."""
        cells = self.record.benchmarks
        for index, cell in enumerate(cells):
            if not cell.rounds:
                continue
            # A peer computes the same network, whatever it makes of it.
            same = macs.get(cell.name) or next(
                (macs[one.name] for one in cells if one.group == cell.group and one.name in macs),
                None,
            )
            work = _work(cell, same, self.record.machine_info.peaks) if same else cell.work
            self._change(cell.name, work=work, fidelity=self._fidelity(index, cell))
        if self.settings.sweep:
            lines = growths(self.record.benchmarks, self.settings.sweep)
            self.record = self.record.model_copy(update={"growth": lines})
        self._write()

    def _fidelity(self, index: int, cell: Cell) -> Fidelity | None:
        """None of peers: some draw noise of their own, and some decode what is still noisy."""
        if cell.params.tool != OURS:
            return None
        reference = reference_of(cell, self.record.benchmarks)
        if reference is None or not reference.rounds:
            return cell.fidelity
        theirs = self.record.benchmarks.index(reference)
        files = (self._folder / str(one) / "0" / "latents.npz" for one in (index, theirs))
        found = distance(cell, reference, *files)
        # Of a resumed record the latents may be gone, and the figures are there.
        is_kept = cell.fidelity and not found.latent_psnr_db
        return cell.fidelity if is_kept else found

    def _add_networks(self) -> None:
        """Signal to error of each network, measured once for an engine and a precision."""
        for cells in self._by_engine().values():
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
                found = self._aside("sqnr", arguments)
            if found:
                self._add_figures(cells, {"sqnr_db": found})

    def _add_figures(self, cells: Sequence[Cell], more: Mapping[str, object]) -> None:
        for cell in cells:
            present = self._cell(cell.name)
            if present.rounds:
                fidelity = present.fidelity or Fidelity(reference="")
                self._change(cell.name, fidelity=fidelity.model_copy(update=more))
        self._write()

    def _aside(self, what: str, arguments: Mapping[str, object]) -> Any:
        """What is found, or None and a warning: the table is good without it."""
        try:
            return run_aside(what, arguments)
        except SdrtError as error:
            self.warnings[f"{what} could not be measured: {error}"] = None
            return None

    def _add_accuracy(self) -> None:
        if not self.settings.accuracy or not paints_scenes(self.models.first.manifest):
            return
        alike: dict[str, list[Cell]] = {}
        for cell in self._ours():
            if cell.rounds:
                key = cell.params.model_dump_json(exclude={"threads", "batch", "prompt"})
                alike.setdefault(key, []).append(cell)
        asked = [cells[0].params for cells in alike.values()]
        arguments = {
            "prompts": self.settings.accuracy,
            "cells": [
                {"artifact": self._artifact(one), "params": one.model_dump()} for one in asked
            ],
        }
        with self.watch("painting prompts", 1):
            found = self._aside("accuracy", arguments) if asked else None
        for cells, shares in zip(alike.values(), found or (), strict=False):
            if shares:
                self._add_figures(cells, _accuracy(shares))

    def _ours(self) -> list[Cell]:
        return [cell for cell in self.record.benchmarks if cell.params.tool == OURS]

    def _by_engine(self) -> dict[tuple[str, str], list[Cell]]:
        """Cells of ours that one engine runs in one precision."""
        found: dict[tuple[str, str], list[Cell]] = {}
        for cell in self._ours():
            found.setdefault((cell.params.backend, cell.params.precision), []).append(cell)
        return found

    def _artifact(self, params: Params) -> str:
        artifact = self.models.executing(params.precision)
        assert artifact is not None  # cells() saw to it
        return str(artifact.root)

    def _cell(self, name: str) -> Cell:
        return next(one for one in self.record.benchmarks if one.name == name)

    def _change(self, name: str, **fields: object) -> None:
        changed = tuple(
            one.model_copy(update=fields) if one.name == name else one
            for one in self.record.benchmarks
        )
        self.record = self.record.model_copy(update={"benchmarks": changed})

    def _write(self) -> None:
        with whole_file(self.output) as target:
            target.write_text(self.record.to_json(), encoding="utf-8")

    @property
    def _folder(self) -> Path:
        """Latents of a run that is not finished; who resumes it finds them by its date."""
        digest = hashlib.sha256(self.record.datetime.encode()).hexdigest()[:16]
        return cache_folder() / "bench" / "rounds" / digest


def _kept(resumed: Record, redo_noisy: bool) -> dict[str, Cell]:
    """Cells to go on with: not what failed or was skipped, nor what was noisy, if that is asked."""
    here = machine_info()
    for what, found, expected in (
        ("another release of sdrt", resumed.version, sdrt.__version__),
        ("another machine", resumed.machine_info.processor, here.processor),
    ):
        if found != expected:
            raise UsageError(
                f"the record to resume is of {what} ({found}; this one is {expected}); measure "
                "everything anew, and compare the records with --compare"
            )
    return {
        cell.name: cell
        for cell in resumed.benchmarks
        if cell.status == "ok" and not (redo_noisy and cell.noisy)
    }


def _accuracy(found: Mapping[str, float]) -> dict[str, object]:
    return {
        "prompts": int(found["prompts"]),
        "attributes_right": found["all_attributes"],
        "prompts_right": found["whole_prompt"],
    }


def _work(cell: Cell, macs: tuple[int, int], peaks: Sequence[Peak]) -> Work:
    """What was computed, how fast, and how fast this machine's engine can be at most."""
    total, attention = (2 * one / 1e9 for one in macs)
    achieved = total / cell.stats.median if cell.stats and cell.stats.median else None
    peak = _peak(cell, peaks)
    return Work(
        gflop_per_step=total,
        gflop_attention=attention,
        achieved_gflops=achieved,
        peak_gflops=peak,
        share_of_peak=achieved / peak if achieved and peak else None,
    )


def _peak(cell: Cell, peaks: Sequence[Peak]) -> float | None:
    """Harmonic mean, by shares, of what the better of both layers reached in each precision."""
    shares = cell.precision.shares if cell.precision else {}
    best: dict[str, float] = {}
    for one in peaks:
        if (one.backend, one.threads) == (cell.params.backend, cell.params.threads):
            best[one.executed] = max(best.get(one.executed, 0.0), one.gflops)
    known = {name: share for name, share in shares.items() if name in best}
    if not known:
        return None
    return sum(known.values()) / sum(share / best[name] for name, share in known.items())
