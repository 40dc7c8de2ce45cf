"""What the peers' workers share. Runs in a peer's environment: the standard library only.

The protocol is that of `sdrt_bench.bench.round_protocol`: a specification as JSON on standard
input, an outcome as JSON in the file that it names.
"""

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Outcome = dict[str, Any]
LONGEST = 400  # characters of an error


@dataclass(frozen=True)
class Job:
    """A specification."""

    params: dict[str, Any]
    """Of the cell: width, height, steps, threads, seed, ..."""
    measure: int
    """How many of the steps to run."""
    folder: Path
    """For latents and picture."""
    model: str
    """Where the weights are, in this peer's layout."""

    @property
    def guidance_scale(self) -> float:
        """1 where the prompt alone is evaluated."""
        return float(self.params["guidance_scale"]) if self.params["guidance"] else 1.0

    @property
    def is_best(self) -> bool:
        """Whether to do what the peer's documentation recommends for processors."""
        return bool(self.params["settings"] == "best")


def serve(run: Callable[[Job], Outcome]) -> None:
    """Do what standard input says; whatever goes wrong becomes one sentence in the result."""
    _do(run, json.loads(sys.stdin.read()))


def serve_all(run: Callable[[Job], Outcome]) -> None:
    """The same of a list of specifications, one after the other."""
    for spec in json.loads(sys.stdin.read()):
        _do(run, spec)


def _do(run: Callable[[Job], Outcome], spec: dict[str, Any]) -> None:
    model = spec["options"]["model"]
    job = Job(spec["params"], spec["measure"], Path(spec["folder"]), model)
    try:
        outcome = run(job)
    except Exception as error:
        import traceback

        traceback.print_exc()
        text = " ".join(str(error).split())[:LONGEST]
        outcome = {"error": f"{type(error).__name__}: {text}", "kind": type(error).__name__}
    result = Path(spec["result"])
    partial = result.with_name(f".{result.name}.partial")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.rename(result)


@dataclass
class Clock:
    """Times of one round, in seconds. What is spent on looking counts nowhere."""

    measure: int
    begun: float = 0.0
    """When loading began; later when the picture was begun."""
    load_s: float = 0.0
    first_step_end_s: float | None = None
    step_s: list[float] = field(default_factory=list)
    spans: dict[str, float] = field(default_factory=dict)
    """Sums by name of what `timed` wraps."""
    steady_rss: int | None = None
    peak_pss: int | None = None
    _loading: float = 0.0
    _mark: float | None = None
    _aside: float = 0.0

    def start_loading(self) -> None:
        """Everything from here to `start_picture` is loading."""
        self._loading = time.perf_counter()

    def start_picture(self) -> None:
        """Everything from here to `round` is the picture."""
        self.look()
        self.begun = time.perf_counter()
        self.load_s = self.begun - self._loading - self._aside
        self._aside = 0.0

    def start_steps(self) -> None:
        """The first step begins; later calls change nothing."""
        if self._mark is None:
            self._mark = time.perf_counter()

    def end_step(self, keep: Callable[[], None] = lambda: None) -> bool:
        """A step has ended; True when it was the last one to run. `keep` runs off the clock."""
        now = time.perf_counter()
        assert self._mark is not None, "no step was begun"
        self.step_s.append(now - self._mark)
        if self.first_step_end_s is None:
            self.first_step_end_s = self.load_s + now - self.begun - self._aside
        keep()
        self.look()
        self._mark = time.perf_counter()
        self._aside += self._mark - now
        return len(self.step_s) >= self.measure

    def look(self) -> None:
        """Read the memory: some milliseconds, so between steps."""
        found = _kilobytes("/proc/self/smaps_rollup", "Pss")
        if found is not None:
            self.peak_pss = max(self.peak_pss or 0, found)
        if self.begun:
            self.steady_rss = status_bytes("VmRSS")

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time added up under a name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "unet":
                self.start_steps()
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - started
                self.spans[name] = self.spans.get(name, 0.0) + spent

        return call

    def round(self, steps: int) -> Outcome:
        """The `Round` of the record; call it as soon as the picture is there."""
        whole = time.perf_counter() - self.begun - self._aside
        typical = statistics.median(self.step_s[1:] or self.step_s)
        steady, unet = self.steady_rss, self.spans.get("unet")
        self.look()
        return {
            "load_s": {"pipeline": self.load_s},
            "first_step_end_s": self.first_step_end_s,
            "text_encoder_s": self.spans.get("text_encoder"),
            "step_s": self.step_s,
            "sampler_s": None if unet is None else max(0.0, sum(self.step_s) - unet),
            "vae_decoder_s": self.spans.get("vae_decoder"),
            "image_s": whole + (steps - len(self.step_s)) * typical,
            "steps_run": len(self.step_s),
            "peak_rss": status_bytes("VmHWM"),
            "steady_rss": steady,
            "peak_pss": self.peak_pss,
        }


def versions(*packages: str) -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def size_of(path: str) -> int:
    """Bytes of a file, or of the files in a folder, encoders of pictures left out."""
    root = Path(path)
    files = [root] if root.is_file() else [one for one in root.rglob("*") if one.is_file()]
    return sum(os.path.getsize(one) for one in files if "vae_encoder" not in one.parts)


def status_bytes(name: str) -> int | None:
    """Resident memory of this process: now `VmRSS`, at most `VmHWM`."""
    return _kilobytes("/proc/self/status", name)


def _kilobytes(path: str, name: str) -> int | None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None
