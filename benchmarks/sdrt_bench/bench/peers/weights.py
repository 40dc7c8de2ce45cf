"""The same weights in the layout that each peer reads, written once and kept.

The layouts of diffusers and LDM are written from a checkpoint, one network in memory at a time. A
peer's own exporter makes OpenVINO IR and ONNX in the peer's environment, as its users do.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sdrt.artifact.diffusers_config import TOKENIZERS
from sdrt.errors import UnsupportedError, UsageError, WriteError
from sdrt.manifest import Source
from sdrt_bench.bench.peers.environments import Environment, file_lock, log_tail, peer_environment
from sdrt_export.artifact.diffusers_layout import write_layout
from sdrt_export.artifact.staging import Stage
from sdrt_export.presets import presets, read_preset
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.diffusers_folder import WEIGHTS, FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.weight_names import NetworkName, to_ldm

Layout = Literal["diffusers", "ldm", "openvino-fp32", "openvino-fp16", "openvino-int8", "onnx"]
SINGLE_FILE = "model.safetensors"
PARTS: tuple[NetworkName, ...] = ("text_encoder", "unet", "vae")


@dataclass(frozen=True)
class Weights:
    """All layouts of a checkpoint, below one folder of the cache."""

    checkpoint: Checkpoint
    cache: Path

    @classmethod
    def from_source(cls, source: Source, folder: Path | None, cache: Path) -> "Weights":
        """Open the weights that a model was exported from, by the `source` in its manifest.

        Random ones are made again; others must be in `folder`, in diffusers' layout.
        Raises `UsageError`, or `ArtifactError` for another folder.
        """
        if source.loras:
            raise UsageError(
                f"{source.loras[0].file} is merged into the model's weights, and the peers would "
                "compute without it; measure an export without --lora, or leave --peers out"
            )
        if folder is not None:
            return cls(_checked(FolderCheckpoint.open(folder)), cache)
        kind, _, preset = source.id.partition(":")
        if kind == "random" and preset in presets():
            return cls(_checked(RandomCheckpoint.from_preset(*read_preset(preset))), cache)
        raise UsageError(
            f"the peers need the weights that the model was exported from ({source.id}); give that "
            "diffusers folder with --peer-weights, or measure random weights: --preset sd15 "
            "--random"
        )

    @property
    def folder(self) -> Path:
        """The folder of all layouts; its name changes with the geometry and with the weights."""
        facts: dict[str, Any] = {
            part: dict(config) for part, config in self.checkpoint.configs.items()
        }
        facts["seed"] = getattr(self.checkpoint, "seed", None)
        if isinstance(self.checkpoint, FolderCheckpoint):
            facts["files"] = _stamps(self.checkpoint.root)
        text = json.dumps(facts, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        return self.cache / "weights" / f"{self.checkpoint.name}-{key}"

    def layout(self, layout: Layout, environment: Environment | None = None) -> Path:
        """Give the folder of a layout, or the file of `ldm`; writes it if it does not exist.

        OpenVINO's and ONNX's need the environment of their exporter. Raises `UnsupportedError`
        with the last lines of the exporter's output, and `WriteError`.
        """
        if layout == "diffusers":
            return self._once(layout, lambda folder: write_diffusers(self.checkpoint, folder))
        source = self.layout("diffusers")
        if layout == "ldm":
            return self._once(layout, lambda folder: write_ldm(source, folder)) / SINGLE_FILE
        if environment is None:
            raise ValueError(f"{layout} is made by the peer's exporter, in its environment")
        return self._once(layout, lambda folder: export(layout, source, folder, environment))

    def _once(self, name: str, write: Callable[[Path], None]) -> Path:
        folder = self.folder / name
        partial = folder.with_name(f"{name}.partial")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(folder):
                if not folder.exists():
                    shutil.rmtree(partial, ignore_errors=True)
                    partial.mkdir()
                    write(partial)
                    partial.rename(folder)
        except OSError as error:
            raise WriteError(f"cannot write the weights for the peers: {error}") from error
        return folder


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.family == "sdxl":
        raise UnsupportedError(
            f"{checkpoint.name} is a Stable Diffusion XL; peers are measured with versions 1 and 2"
        )
    return checkpoint


def write_diffusers(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a whole pipeline in fp32, with names that all releases of its readers know."""
    write_layout(Stage(folder, folder), checkpoint)
    for part in (part for part in WEIGHTS if part in checkpoint.configs):
        module = checkpoint.network(part)
        weights = module.state_dict()
        if part in TOKENIZERS:
            weights = {_old_name(name): weight for name, weight in weights.items()}
            module.config.architectures = [type(module).__name__]
            module.config.save_pretrained(folder / part)
        else:
            module.save_config(folder / part)
        save_file(weights, folder / part / f"{WEIGHTS[part]}.safetensors", {"format": "pt"})


def _old_name(name: str) -> str:
    """Give the older name of a text encoder's weight; newer releases of transformers shorten it."""
    has_word = name.startswith(("text_model.", "text_projection."))
    return name if has_word else f"text_model.{name}"


def write_ldm(source: Path, folder: Path) -> None:
    """Write all networks to one file with the original code's names, from a folder of diffusers."""
    weights: dict[str, torch.Tensor] = {}
    for part in PARTS:
        config = json.loads((source / part / "config.json").read_text(encoding="utf-8"))
        with safe_open(source / part / f"{WEIGHTS[part]}.safetensors", "pt") as file:
            tensors = {
                name.removeprefix("text_model."): file.get_tensor(name) for name in file.keys()
            }
        converted = to_ldm(part, tensors, config)
        weights |= {name: weight.contiguous() for name, weight in converted.items()}
    save_file(weights, folder / SINGLE_FILE, {"format": "pt"})


def export(layout: Layout, source: Path, folder: Path, environment: Environment) -> None:
    """Let the peer's own exporter write its format."""
    kind, _, precision = layout.partition("-")
    command = [str(environment.scripts / "optimum-cli"), "export", kind, "--model", str(source)]
    command += ["--task", "text-to-image"]
    command += ["--weight-format", precision] if precision else []
    log = folder.with_name(f"{layout}.log")
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(
            [*command, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=peer_environment(environment, os.environ),
        ).returncode
    if code:
        raise UnsupportedError(
            f"cannot export to {layout} with optimum-cli: {log_tail(log)}; all of it is in {log}"
        )


def _stamps(root: Path) -> list[tuple[str, int, int]]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [
        (path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    ]
