"""Weights in diffusers' layout: safetensors files, loaded whole or refused."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sdrt.errors import ArtifactError

RANDOM = ("missing_keys", "mismatched_keys")
"""What a loader reports of weights that it had to put random numbers in for."""


def load_weights(
    network: Any,
    folder: Path,
    stem: str,
    dtype: str = "torch_dtype",
    refused: Collection[str] = RANDOM,
) -> Any:
    """Load a network of a class of diffusers or transformers from its folder, in fp32.

    Names of weight files begin with `stem`; half-precision files are taken where there are no
    others. `dtype` is the library's name for the type of weights, and `refused` is what its report
    may not have. Raises `ArtifactError`.
    """
    files = [path.name for path in folder.glob(f"{stem}*.safetensors")]
    is_half = bool(files) and all(".fp16" in name for name in files)
    with explained(folder):
        loaded, report = network.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=True,
            output_loading_info=True,
            **{dtype: torch.float32},
            **({"variant": "fp16"} if is_half else {}),
        )
        _check_report(folder, report, refused)
        return loaded.eval().requires_grad_(False)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn whatever a loader raises into one sentence; the loaders share no base class."""
    try:
        yield
    except (ArtifactError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"cannot load {folder}: {text}; expected complete safetensors weights"
        ) from error


def _check_report(folder: Path, report: Mapping[str, Any], refused: Collection[str]) -> None:
    for kind in refused:
        if names := sorted(map(str, report.get(kind) or [])):
            raise ArtifactError(
                f"{folder}: {len(names)} weights are {kind.split('_')[0]} ({names[0]}, ...); "
                "the files do not belong to this configuration"
            )
