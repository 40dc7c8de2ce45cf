"""What is in a file that a run left: pixels and texts of a PNG, tensors, JSON, or a hash."""

import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from sdrt_bench.unchanged.normal import Normal

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK = "sdrt"
"""The PNG's text chunk with the parameters as JSON."""


def describe_files(folder: Path, normal: Normal) -> dict[str, Any]:
    """Every file below a folder, by its path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): describe_file(path, normal) for path in paths}


def describe_file(path: Path, normal: Normal) -> dict[str, Any]:
    """Its content, as plain values that can be compared; large content by its SHA-256."""
    if path.suffix == ".png":
        return _png(path, normal)
    if path.suffix == ".safetensors":
        return _safetensors(path, normal)
    if path.suffix == ".json":
        return {"json": normal.values(json.loads(path.read_text()))}
    return {"sha256": _sha256(path.read_bytes()), "bytes": path.stat().st_size}


def _png(path: Path, normal: Normal) -> dict[str, Any]:
    with Image.open(path) as image:
        pixels = _sha256(image.tobytes())
        texts = {name: str(text) for name, text in image.text.items()}  # type: ignore[attr-defined]
        record: dict[str, Any] = {
            "mode": image.mode,
            "size": list(image.size),
            "pixels": pixels,
            "chunks": _chunk_types(path.read_bytes()),
        }
    if CHUNK in texts:
        text = texts.pop(CHUNK)
        content = json.loads(text)
        record["chunk"] = normal.values(content)
        record["chunk is plain JSON"] = json.dumps(content, ensure_ascii=False) == text
    return {**record, "texts": {name: normal.text(text) for name, text in texts.items()}}


def _chunk_types(content: bytes) -> list[str]:
    """Types of a PNG's chunks in their order, each run of equal ones once."""
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError("this is no PNG")
    types: list[str] = []
    place = len(PNG_SIGNATURE)
    while place < len(content):
        length = int.from_bytes(content[place : place + 4])
        name = content[place + 4 : place + 8].decode("ascii")
        if types[-1:] != [name]:
            types.append(name)
        place += 12 + length
    return types


def _safetensors(path: Path, normal: Normal) -> dict[str, Any]:
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        data = content[begin + first : begin + last]
        tensors[name] = {
            "dtype": entry["dtype"],
            "shape": entry["shape"],
            "sha256": _sha256(data),
        }
    return {"tensors": tensors, "metadata": {k: _parsed(v, normal) for k, v in metadata.items()}}


def _parsed(text: str, normal: Normal) -> Any:
    """Metadata are texts; most of sdrt's are JSON, whose keys are to be compared one by one."""
    try:
        return normal.values(json.loads(text))
    except json.JSONDecodeError:
        return normal.text(text)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
