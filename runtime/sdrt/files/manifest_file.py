"""Reads `manifest.json` of an artifact, and refuses what this version of sdrt cannot use."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdrt.errors import ArtifactError
from sdrt.files.text_file import read_text
from sdrt.manifest import PRECISIONS, SCHEMA, Manifest, explain_validation_error

MAX_BYTES = 4_000_000  # manifests of large models have some tens of kilobytes


def read_manifest(path: Path) -> Manifest:
    """Read a model's `manifest.json`; raises `ArtifactError` that names the first wrong field."""
    text, data = read_manifest_json(path)
    if "kind" in data:
        raise ArtifactError(
            f"{path.parent} is a ControlNet, not a model; give the model that it is for, and "
            f"this folder beside it: --control {path.parent}=PICTURE"
            if data["kind"] == "controlnet"
            else f"{path} is of the kind {data['kind']!r}; expected a model made by: sdrt export"
        )
    _check_precisions(path, data)
    try:
        return Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: {explain_validation_error(error)}; export the model again"
        ) from error


def read_manifest_json(path: Path) -> tuple[str, Any]:
    """The text of a `manifest.json`, and its object of a schema that this version reads.

    Raises `ArtifactError` for everything else.
    """
    text = read_text(path, "a manifest", MAX_BYTES, ArtifactError)
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is not valid JSON ({error}); export the model again"
        ) from error
    _check_schema(path, data)
    return text, data


def _check_schema(path: Path, data: Any) -> None:
    if not isinstance(data, dict) or "schema" not in data:
        raise ArtifactError(f"{path} is not a manifest of sdrt: it has no field 'schema'")
    if data["schema"] != SCHEMA:
        raise ArtifactError(
            f"{path} has schema {data['schema']!r}, this sdrt reads schema {SCHEMA}; "
            "install the sdrt release that wrote it, or export the model again"
        )


def _check_precisions(path: Path, data: Any) -> None:
    """Refuse storage precisions of other tools: sdrt never writes them, other hosts have none."""
    records = {"": data}
    if isinstance(graphs := data.get("graphs"), dict):
        records |= {f"graphs.{name}.": graph for name, graph in graphs.items()}
    for prefix, record in records.items():
        precision = record.get("precision") if isinstance(record, dict) else None
        if isinstance(precision, str) and precision not in PRECISIONS:
            raise ArtifactError(
                f"{path}: {prefix}precision: input should be 'fp32', 'bf16' or 'int8'; export the "
                "model again"
            )
