"""A limit for the memory of a run: the run is made to fit, or refused with the cheapest remedy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from sdrt import machine
from sdrt.backends.backend import open_backend, usable_backends
from sdrt.errors import OutOfMemoryError, UnsupportedError, UsageError
from sdrt.manifest import TINY_DECODER
from sdrt.memory.estimate import ENGINES, MemoryPlan
from sdrt.networks.open_model import OpenModel
from sdrt.request.request import Request
from sdrt.validation import MIN_LATENT

SIDE_STEP = 64  # pixels between the smaller sizes that are tried
UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kmgt", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)},
}


@dataclass(frozen=True)
class Budget:
    """What bounds the memory of a run."""

    limit: int | None = None
    """Bytes that the whole process may have at its peak; None for no limit."""
    respects_machine: bool = True
    """Whether a run is refused that needs more than the machine, or container, has available."""

    def plan(self, model: OpenModel, request: Request, previewer: str | None = None) -> MemoryPlan:
        """How a request is to be run, with what it leaves open decided.

        `previewer` is the network that decodes steps on the way, if any does. Raises
        `OutOfMemoryError` if the run needs more memory than there is, or than it may take.
        """
        plan = MemoryPlan.for_request(model, request, previewer)
        plan = self.fit(plan, may_tile=request.vae_tiling == "auto")
        self.check(plan)
        return plan

    def fit(self, plan: MemoryPlan, may_tile: bool) -> MemoryPlan:
        """The plan with what is left open decided: as little changed as makes the run fit.

        That is tiles, and under a limit that no network stays after its use, and that both halves
        of guidance run in turn. Where nothing makes it fit, what needs least. With either, freed
        arrays go back to the system at once.
        """
        if not _is_known(plan):
            if self.limit is None:
                return plan
            raise UnsupportedError(
                f"what {plan.backend.name} holds in memory is known for the CPU only, so no limit "
                "can be kept to; leave out --max-memory (in Python: max_memory)"
            )
        changes: list[dict[str, Any]] = [{"is_tiled": True}] if may_tile else []
        if self.limit is not None:
            plan = replace(plan, gives_back=machine.give_back_freed_arrays())
            changes += [{"is_doubled": False}, {"keep": frozenset()}]
        plans = [replace(plan, **change) for change in _combinations(changes)]
        fitting = (plan for plan in plans if self._keeps_limit(plan) and _is_available(plan))
        chosen = next(fitting, min(plans, key=lambda plan: plan.peak()[1]))
        if chosen.is_tiled and not chosen.gives_back:
            # Tiles are to save memory, and glibc would keep much of what was freed before them.
            chosen = replace(chosen, gives_back=machine.give_back_freed_arrays())
        return chosen

    def check(self, plan: MemoryPlan) -> None:
        """Raise `OutOfMemoryError` with figures if a run needs more memory than it may take."""
        if not _is_known(plan):
            return
        if not self._keeps_limit(plan):
            self._refuse_over_limit(plan)
        if self.respects_machine and not _is_available(plan):
            name, needed = plan.peak()
            raise OutOfMemoryError(
                f"the run needs about {_gb(needed)} of memory while {name} runs"
                f"{_also_loaded(plan.previews)}, and {_gb(machine.memory_bytes()[1])} are "
                "available; "
                f"{self._remedy(plan, 0)}. "
                "Estimates are wrong by up to 30 %: to try nevertheless, --ignore-memory (in "
                "Python: check_memory=False)"
            )

    def holds(self, plan: MemoryPlan) -> bool:
        """Whether a run fits as it is planned, with nothing changed."""
        if not _is_known(plan):
            return True
        return self._keeps_limit(plan) and (not self.respects_machine or _is_available(plan))

    def check_alone(self, plan: MemoryPlan, may_tile: bool, before: int) -> None:
        """Raise `OutOfMemoryError` for a run that does not fit even where nothing is loaded.

        `before` is what the process has in memory then, in bytes.
        """
        if not _is_known(plan):
            return
        plan = replace(plan, loaded=frozenset(), before=before)
        apart = replace(self, respects_machine=False)
        plan = apart.fit(plan, may_tile)
        apart.check(plan)
        name, needed = plan.peak()
        total, _ = machine.memory_bytes()
        if self.respects_machine and total and before + needed > total:
            raise OutOfMemoryError(
                f"the run needs about {_gb(needed)} of memory while {name} runs, and this machine "
                f"has {_gb(total)}; {self._remedy(plan, 0)}"
            )

    def check_side_by_side(self, plan: MemoryPlan, count: int) -> None:
        """Raise `OutOfMemoryError` if so many processes have no memory for a run at once."""
        _, available = machine.memory_bytes()
        if not (_is_known(plan) and self.respects_machine and available):
            return
        name, needed = plan.peak()
        if count * needed > available:
            fitting = max(1, available // needed)
            raise OutOfMemoryError(
                f"{count} processes need about {_gb(count * needed)} of memory while each runs "
                f"{name}, and {_gb(available)} are available; {fitting} would fit"
            )

    def forecast(self, plan: MemoryPlan) -> "Forecast | None":
        """What the run is expected to need; None where there is no limit."""
        if self.limit is None:
            return None
        name, needed = plan.peak()
        return Forecast(self.limit, plan.before + needed, name, _ways(plan), plan.previews)

    def _refuse_over_limit(self, plan: MemoryPlan) -> None:
        assert self.limit is not None
        name, needed = plan.peak()
        raise OutOfMemoryError(
            f"the process would need about {_gb(plan.before + needed)} of memory while {name} "
            f"runs{_also_loaded(plan.previews)}, and --max-memory (in Python: max_memory) allows "
            f"{_gb(self.limit)}; "
            f"planned already: {', '.join(_ways(plan)) or 'nothing'}; "
            f"{self._remedy(plan, plan.before)}; or raise the limit to what the run needs"
        )

    def _remedy(self, plan: MemoryPlan, before: int) -> str:
        fitting = (
            f"it would fit with {flags} (about {_gb(before + changed.peak()[1])})"
            for flags, changed in _changes(plan)
            if self._keeps_limit(changed) and (_is_available(changed) or not self.respects_machine)
        )
        return next(fitting, "nothing that could be changed makes it fit; take a smaller model")

    def _keeps_limit(self, plan: MemoryPlan) -> bool:
        return self.limit is None or plan.before + plan.peak()[1] <= self.limit


@dataclass(frozen=True)
class Forecast:
    """What a run under a limit is expected to need, and what is done for it."""

    limit_bytes: int
    predicted_bytes: int
    """Memory of the whole process at its peak."""
    network: str
    """The network that runs at the peak."""
    ways: list[str]
    """What was changed so that the run needs less."""
    previews: str | None = None
    """The network that decodes steps on the way while the U-Net is in memory, if any does."""

    def sentence(self) -> str:
        """The same for people."""
        ways = ", ".join(self.ways) or "nothing has to be changed for that"
        return (
            f"about {_gb(self.predicted_bytes)} of memory at most, while {self.network} runs"
            f"{_also_loaded(self.previews)}, of the {_gb(self.limit_bytes)} allowed: {ways}"
        )


def read_bytes(text: str, name: str = "max_memory") -> int:
    """How much "4G", "512M" or "1.5GiB" is; raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    unit = UNITS.get(match[2]) if match else None
    if match is None or unit is None or float(match[1]) == 0:
        raise UsageError(f"{name} is {text!r}; expected for example 4G, 512M or 3.5GiB")
    return int(float(match[1]) * unit)


def _ways(plan: MemoryPlan) -> list[str]:
    """What a plan does to need less memory."""
    said = {
        "networks are released after use": not plan.keep,
        "guidance is split": plan.is_guided and not plan.is_doubled,
        "the VAE works in tiles": plan.is_tiled,
    }
    return [way for way, is_taken in said.items() if is_taken]


def _also_loaded(previews: str | None) -> str:
    """What else is in memory while the U-Net is, for an end of a sentence."""
    return f" (previews need the U-Net and {previews} at once)" if previews else ""


def _is_known(plan: MemoryPlan) -> bool:
    """Whether it is known what the engine needs: not on devices with memory of their own."""
    return plan.backend.name in ENGINES and getattr(plan.backend, "device", "CPU") == "CPU"


def _is_available(plan: MemoryPlan) -> bool:
    """Whether the machine has enough, or does not tell."""
    _, available = machine.memory_bytes()
    return not available or plan.peak()[1] <= available


def _combinations(changes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """None of them, then all that can be combined of them; the first is the last to be taken."""
    for taken in product((False, True), repeat=len(changes)):
        chosen = [change for change, is_taken in zip(changes, taken, strict=True) if is_taken]
        yield {name: value for change in chosen for name, value in change.items()}


def _changes(plan: MemoryPlan) -> Iterator[tuple[str, MemoryPlan]]:
    """What could be changed, cheapest first: one thing, then several, at last the size.

    Pictures stay what they are (in tiles: nearly), then change by rounding, then become others.
    """
    harmless: list[tuple[str, dict[str, Any]]] = []
    if plan.previews:
        manifest = plan.artifact.manifest
        if plan.previews != TINY_DECODER and TINY_DECODER in manifest.graphs:
            yield "--preview tae", replace(plan, previews=TINY_DECODER)
        rough = "--preview proj" if manifest.latent.preview else "no --preview"
        harmless.append((rough, {"previews": None}))
    if plan.images > 1:
        harmless.append(("--batch-count 1", {"images": 1}))
    if plan.is_doubled:
        harmless.append(("--guidance-split", {"is_doubled": False}))
    tiled = replace(plan, is_tiled=True)
    if tiled.vae_pixels < plan.vae_pixels:
        harmless.append(("--vae-tiling", {"is_tiled": True}))
    engines = list(_smaller_engines(plan))
    for flags, change in [*harmless, *engines]:
        yield flags, replace(plan, **change)
    flags, smaller = "", plan
    for flag, change in harmless:
        flags, smaller = f"{flags} {flag}".lstrip(), replace(smaller, **change)
    yield flags, smaller
    for flag, change in engines:
        yield f"{flags} {flag}".lstrip(), replace(smaller, **change)
    if engines:
        flags, smaller = f"{flags} {engines[-1][0]}".lstrip(), replace(smaller, **engines[-1][1])
    if plan.first:
        width, height = plan.first
        single = replace(smaller, width=width, height=height, first=None)
        yield f"{flags} without --hires".lstrip(), single
        return
    for width, height in _smaller_sizes(plan):
        size = f"{flags} --size {width}x{height}".lstrip()
        yield size, replace(smaller, width=width, height=height)


def _smaller_engines(plan: MemoryPlan) -> Iterator[tuple[str, dict[str, Any]]]:
    """OpenVINO in place of another engine, then its bf16: each needs less than the one before."""
    graphs = plan.artifact.manifest.graphs.values()
    flags, backend = "", plan.backend
    if backend.name != "openvino":
        if "openvino" not in usable_backends():
            return
        flags, backend = "--backend openvino ", open_backend("openvino", None, backend.threads)
        if not all(set(backend.formats) & set(graph.files) for graph in graphs):
            return
        yield flags.strip(), {"backend": backend}
    if replace(plan, backend=backend).precision_of("unet") == "fp32":
        try:
            narrow = open_backend("openvino", None, backend.threads, "bf16")
        except UnsupportedError:
            return  # this processor has none
        yield f"{flags}--precision bf16", {"backend": narrow}


def _smaller_sizes(plan: MemoryPlan) -> Iterator[tuple[int, int]]:
    """Sizes of about the same shape, the largest first."""
    least = MIN_LATENT * plan.artifact.manifest.latent.downscale
    longest = max(plan.width, plan.height)
    for side in range(longest - SIDE_STEP, 0, -SIDE_STEP):
        width, height = (
            max(round(length * side / longest / SIDE_STEP) * SIDE_STEP, least)
            for length in (plan.width, plan.height)
        )
        if max(width, height) < longest:
            yield width, height


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e9:.2f} GB"
