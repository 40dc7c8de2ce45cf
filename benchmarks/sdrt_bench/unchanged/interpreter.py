"""The Python whose sdrt is recorded, and the environment that its processes run in."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = 2
TIMEOUT_S = 900
PACKAGES = ("numpy", "onnxruntime", "openvino", "pillow", "tokenizers", "torch", "diffusers")

_DESCRIBE = f"""
import json, os, platform, sdrt
from importlib.metadata import PackageNotFoundError, version

def version_of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None

print(json.dumps({{
    "package": os.path.dirname(sdrt.__file__),
    "python": platform.python_version(),
    "packages": {{name: version_of(name) for name in {PACKAGES}}},
}}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can import sdrt."""

    path: str
    cache: Path
    """A folder that takes the place of the user's cache."""

    @property
    def sdrt(self) -> list[str]:
        """The command line of its sdrt. With -P, files in the working folder hide no module."""
        return [self.path, "-P", "-m", "sdrt"]

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        check: bool = False,
        paths: Sequence[Path] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder; with `check`, raise `RuntimeError` unless it succeeds.

        `paths` are folders where Python looks for modules before those of its environment.
        """
        done = subprocess.run(
            list(command),
            cwd=folder,
            env=environment(os.environ, self.cache, paths),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
        return done

    def describe(self) -> dict[str, Any]:
        """Where its sdrt is (`package`), its version, and the versions of what sdrt computes with.

        Raises `RuntimeError` if it has no sdrt.
        """
        done = self.run([self.path, "-P", "-c", _DESCRIBE], Path.cwd(), check=True)
        described: dict[str, Any] = json.loads(done.stdout)
        return described


def environment(inherited: Mapping[str, str], cache: Path, paths: Sequence[Path]) -> dict[str, str]:
    """The inherited environment, with whatever could change an output fixed.

    Without a fixed hash seed diffusers writes lists in its configurations in random order.
    """
    searched = [*map(str, paths), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(searched),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": str(THREADS),
        "XDG_CACHE_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "100",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TQDM_DISABLE": "1",
        "LC_ALL": "C.UTF-8",
    }


def pin_processors() -> None:
    """Leave this process and its children as many processors as there are threads.

    Not every command takes a number of threads, and by default sdrt uses all processors.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def processor() -> str:
    """The processor's name and what of its instructions engines choose their kernels by."""
    wanted = {"avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile"}
    fields: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = sorted(wanted & set(fields.get("flags", "").split()))
    return f"{fields.get('model name', 'unknown')} ({' '.join(flags)})"
