"""Exports that differ from another one in some networks, without the time that the others take."""

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from sdrt.artifact import open_artifact
from sdrt.manifest import MANIFEST_NAME, Precision
from sdrt_export import exporter
from sdrt_export.graphs.networks import networks
from sdrt_export.presets import Preset
from sdrt_export.sources.checkpoint import Checkpoint


def export_parts(
    parts: Collection[str],
    checkpoint: Checkpoint,
    preset: Preset,
    folder: Path,
    rest: Path,
    precision: Precision = "fp32",
) -> None:
    """Export these networks of a checkpoint; the others are those of the artifact `rest`."""
    only = pytest.MonkeyPatch()
    only.setattr(exporter, "networks", lambda c: (n for n in networks(c) if n.name in parts))
    try:
        exporter.export(checkpoint, folder, precision, preset.formats, preset.defaults)
    finally:
        only.undo()
    own, others = (open_artifact(root).manifest for root in (folder, rest))
    files = {file: record for file, record in others.files.items() if file not in own.files}
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(rest / file, folder / file)
    update = {
        "graphs": {**others.graphs, **own.graphs},
        "files": {**files, **own.files},
        "latent": own.latent if "vae_decoder" in parts else others.latent,  # with its previews
    }
    (folder / MANIFEST_NAME).write_text(own.model_copy(update=update).to_json())
