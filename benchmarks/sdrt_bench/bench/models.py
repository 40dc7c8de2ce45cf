"""The exports to measure: named ones, those in a folder, or those of a preset, made once."""

from collections.abc import Callable, Sequence
from pathlib import Path

import sdrt
from sdrt.artifact import Artifact, is_artifact, open_artifact
from sdrt.errors import UsageError
from sdrt.files.cache import cache_folder
from sdrt.machine import has_bf16, has_int8
from sdrt.manifest import PRECISIONS
from sdrt_bench.bench.cells import Models

Export = Callable[[str, bool, str, Path], None]
"""It exports a preset: its name, whether weights are random, the precision, the target."""


def open_models(paths: Sequence[str]) -> Models:
    """Open exports of one model, or a folder of such; without any the embedded model."""
    if len(paths) == 1 and not is_artifact(paths[0]) and Path(paths[0]).is_dir():
        inside = sorted(path for path in Path(paths[0]).iterdir() if is_artifact(path))
        if inside:
            return Models.from_artifacts([open_artifact(path) for path in inside])
    return Models.from_artifacts([open_artifact(path) for path in paths or (None,)])


def preset_models(
    preset: str, is_random: bool, precisions: Sequence[str] | None, export: Export
) -> Models:
    """Open exports of a preset in some precisions; make those that do not exist yet.

    They stay in the user's cache, one set for each version of sdrt.
    """
    if not preset or Path(preset).suffix or "/" in preset:
        raise UsageError(
            f"--preset is {preset!r}; expected the name of one that comes with sdrt (sd15, tiny, "
            "demo); export others with: sdrt export, and give the folders"
        )
    artifacts: list[Artifact] = []
    for precision in precisions or _default_precisions():
        kind = "random" if is_random else "weights"
        place = cache_folder() / "bench" / "models" / sdrt.__version__ / f"{preset}-{kind}"
        path = place / precision
        if not is_artifact(path):
            export(preset, is_random, precision, path)
        artifacts.append(open_artifact(path))
    return Models.from_artifacts(artifacts)


def _default_precisions() -> list[str]:
    """Precisions that this processor has arithmetic for."""
    has = {"fp32": True, "bf16": has_bf16(), "int8": has_int8()}
    return [precision for precision in PRECISIONS if has[precision]]
