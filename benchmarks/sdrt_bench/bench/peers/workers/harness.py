"""What the peers' workers share; it runs in a peer's environment on the standard library alone.

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
class RoundSpec:
    """What one process shall measure."""

    params: dict[str, Any]
    """These are the cell's: width, height, steps, threads, seed, ..."""
    measure: int
    """So many of the steps are run."""
    folder: Path
    """Latents and image go to this folder."""
    model: str
    """The weights are here, in this peer's layout."""

    @property
    def guidance_scale(self) -> float:
        """The guidance scale; 1 where the prompt alone is evaluated."""
        return float(self.params["guidance_scale"]) if self.params["guidance"] else 1.0

    @property
    def is_best(self) -> bool:
        """Whether to do what the peer's documentation recommends for processors."""
        return bool(self.params["settings"] == "best")


def serve(run: Callable[[RoundSpec], Outcome]) -> None:
    """Run the specification on standard input; an error becomes one sentence in the result."""
    _do(run, json.loads(sys.stdin.read()))


def serve_all(run: Callable[[RoundSpec], Outcome]) -> None:
    """Run a list of specifications, one after the other."""
    for spec in json.loads(sys.stdin.read()):
        _do(run, spec)


def _do(run: Callable[[RoundSpec], Outcome], data: dict[str, Any]) -> None:
    model = data["options"]["model"]
    spec = RoundSpec(data["params"], data["measure"], Path(data["folder"]), model)
    try:
        outcome = run(spec)
    except Exception as error:
        import traceback

        traceback.print_exc()
        text = " ".join(str(error).split())[:LONGEST]
        outcome = {"error": f"{type(error).__name__}: {text}", "kind": type(error).__name__}
    result = Path(data["result"])
    partial = result.with_name(f".{result.name}.partial")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.rename(result)


@dataclass
class Clock:
    """Times of one round, in seconds, without the time that samples of the memory take."""

    measure: int
    begun: float = 0.0
    """The image was begun at this time."""
    load_s: float = 0.0
    first_step_end_s: float | None = None
    step_s: list[float] = field(default_factory=list)
    spans: dict[str, float] = field(default_factory=dict)
    """These are the sums of the times of each function that `timed` wraps, by name."""
    steady_rss: int | None = None
    peak_pss: int | None = None
    _loading: float = 0.0
    _mark: float | None = None
    _sampling_s: float = 0.0

    def start_loading(self) -> None:
        """Begin to count the time of loading, up to `start_picture`."""
        self._loading = time.perf_counter()

    def start_picture(self) -> None:
        """Begin to count the time of the image, up to `round`."""
        self.sample_memory()
        self.begun = time.perf_counter()
        self.load_s = self.begun - self._loading - self._sampling_s
        self._sampling_s = 0.0

    def start_steps(self) -> None:
        """Begin the first step; later calls change nothing."""
        if self._mark is None:
            self._mark = time.perf_counter()

    def end_step(self, keep: Callable[[], None] = lambda: None) -> bool:
        """End a step, and say whether it was the last to run; the time of `keep` is not counted."""
        now = time.perf_counter()
        assert self._mark is not None, "no step was begun"
        self.step_s.append(now - self._mark)
        if self.first_step_end_s is None:
            self.first_step_end_s = self.load_s + now - self.begun - self._sampling_s
        keep()
        self.sample_memory()
        self._mark = time.perf_counter()
        self._sampling_s += self._mark - now
        return len(self.step_s) >= self.measure

    def sample_memory(self) -> None:
        """Sample the memory, which takes milliseconds: do it between steps."""
        size = _kilobytes("/proc/self/smaps_rollup", "Pss")
        if size is not None:
            self.peak_pss = max(self.peak_pss or 0, size)
        if self.begun:
            self.steady_rss = status_bytes("VmRSS")

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function with its time added up under a name."""

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
        """Give the `Round` of the record; call it as soon as the image is there."""
        whole = time.perf_counter() - self.begun - self._sampling_s
        typical = statistics.median(self.step_s[1:] or self.step_s)
        steady, unet = self.steady_rss, self.spans.get("unet")
        self.sample_memory()
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
    """Give the versions of those packages that are installed."""
    installed = {}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def size_of(path: str) -> int:
    """Give the bytes of a file, or of the files in a folder without encoders of images."""
    root = Path(path)
    files = [root] if root.is_file() else [file for file in root.rglob("*") if file.is_file()]
    return sum(os.path.getsize(file) for file in files if "vae_encoder" not in file.parts)


def status_bytes(name: str) -> int | None:
    """Read the resident memory of this process: at present `VmRSS`, its peak `VmHWM`."""
    return _kilobytes("/proc/self/status", name)


def _kilobytes(path: str, name: str) -> int | None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None
