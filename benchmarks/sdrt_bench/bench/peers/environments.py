"""A virtual environment for each peer, made when it is first needed, and kept.

The peers' requirements exclude each other's and ours, so nothing is installed where sdrt runs.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from sdrt.errors import UnsupportedError, WriteError

READY = "ready.json"
LOG = "install.log"
SHOWN_LINES = 3
TORCH = "2.13.0"


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment consists of, and what it must be able to import."""

    name: str
    requirements: tuple[str, ...]
    removed: tuple[str, ...] = ()
    """These are uninstalled again, because a requirement of a requirement does not work here."""
    modules: tuple[str, ...] = ()
    """These must import before the environment counts as made."""

    @property
    def key(self) -> str:
        """A hash that changes with everything that the environment depends on."""
        text = json.dumps([asdict(self), sys.version_info[:2]])
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def torch_requirement() -> str:
    """Require the torch of the running environment, so that all peers compute with the same."""
    try:
        return f"torch=={version('torch').partition('+')[0]}"
    except PackageNotFoundError:
        return f"torch=={TORCH}"


def environment_specs() -> Mapping[str, EnvironmentSpec]:
    """Give every environment by its name; several peers may share one."""
    torch = torch_requirement()
    specs = (
        EnvironmentSpec(
            "diffusers",
            (
                torch,
                "diffusers==0.42.1",
                "transformers==5.23.0",
                "accelerate==1.15.0",
                "safetensors==0.8.0",
            ),
            modules=("torch", "diffusers", "transformers"),
        ),
        EnvironmentSpec(
            "openvino",
            (
                torch,
                "optimum-intel==2.2.0",
                "openvino==2026.4.1",
                "openvino-genai==2026.4.1.0",
                "diffusers==0.39.0",
                "accelerate==1.15.0",
            ),
            removed=("torchvision",),  # optimum-intel wants it, the registry's is for CUDA's torch
            modules=("optimum.intel", "openvino_genai", "diffusers"),
        ),
        EnvironmentSpec(
            "onnx",
            (
                torch,
                "optimum-onnx==0.1.0",
                "onnxruntime==1.32.0",
                "onnxscript==0.7.2",
                "diffusers==0.35.2",
                "accelerate==1.15.0",
            ),
            modules=("optimum.onnxruntime", "diffusers"),
        ),
        EnvironmentSpec(
            "ggml",
            ("stable-diffusion-cpp-python==0.4.7", "numpy==2.4.6", "pillow==13.0.0"),
            modules=("stable_diffusion_cpp", "numpy", "PIL"),
        ),
    )
    return {spec.name: spec for spec in specs}


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is complete."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def scripts(self) -> Path:
        """The folder of its commands."""
        return self.folder / "bin"

    @property
    def versions(self) -> dict[str, str]:
        """Versions of everything that is installed, by name."""
        versions: dict[str, str] = json.loads((self.folder / READY).read_text(encoding="utf-8"))
        return versions


def prepare(spec: EnvironmentSpec, cache: Path, pip_options: Sequence[str] = ()) -> Environment:
    """Give an environment; makes it where it does not exist or is incomplete.

    Packages come from wherever pip is configured to get them; `pip_options` are added to each
    `pip install`. Raises `UnsupportedError` with the last lines of pip's output, and `WriteError`.
    """
    folder = cache / "environments" / f"{spec.name}-{spec.key}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(folder):
            if not (folder / READY).exists():
                _make(spec, folder, pip_options)
    except OSError as error:
        raise WriteError(f"cannot make the environment of {spec.name}: {error}") from error
    return Environment(folder)


def _make(spec: EnvironmentSpec, folder: Path, pip_options: Sequence[str]) -> None:
    """Commands in an environment hold its path, so it is made in place and marked when done."""
    shutil.rmtree(folder, ignore_errors=True)
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    # A pip of its own would take longer to install than most of the packages.
    has_pip = find_spec("pip") is not None
    venv.create(folder, with_pip=not has_pip)
    python = Environment(folder).python
    own = (sys.executable, "-m", "pip", "--python", python) if has_pip else (python, "-m", "pip")
    pip = (*map(str, own), "--no-input", "--disable-pip-version-check")
    _call(
        (*pip, "install", *pip_options, *spec.requirements),
        spec,
        "install",
        log,
    )
    if spec.removed:
        _call((*pip, "uninstall", "--yes", *spec.removed), spec, "set up", log)
    imports = "; ".join(f"import {module}" for module in spec.modules)
    _call((str(python), "-I", "-c", imports), spec, "import", log)
    listed = subprocess.run((*pip, "list", "--format=json"), capture_output=True, check=True)
    versions = {
        package["name"].lower(): package["version"] for package in json.loads(listed.stdout)
    }
    log.rename(folder / LOG)
    partial = folder / f"{READY}.partial"
    partial.write_text(json.dumps(versions, indent=1), encoding="utf-8")
    partial.rename(folder / READY)


def _call(command: Sequence[str], spec: EnvironmentSpec, doing: str, log: Path) -> None:
    with log.open("a", encoding="utf-8") as file:
        print("$", *command, file=file, flush=True)
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    if code:
        raise UnsupportedError(
            f"cannot {doing} {', '.join(spec.requirements)}: {log_tail(log)}; all of it is in {log}"
        )


def log_tail(log: Path) -> str:
    """Give the last lines of a log in one line: errors only, if it has any."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("[notice]")]
    errors = [line for line in lines if line.lower().startswith("error")]
    return " | ".join((errors or lines)[-SHOWN_LINES:])[:600]


def peer_environment(environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
    """Give variables for a peer's process: its commands first, no hub, no path of this process."""
    kept = {name: value for name, value in variables.items() if name != "PYTHONPATH"}
    return kept | {
        "PATH": f"{environment.scripts}{os.pathsep}{variables.get('PATH', '')}",
        "VIRTUAL_ENV": str(environment.folder),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Hold a lock, so that no other process makes the same folder."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
