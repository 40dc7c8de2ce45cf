"""Small models for tests of the C++ host, to be damaged."""

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from sdrt import errors
from sdrt.artifact import Artifact, open_artifact
from tests.cpp.commands import Command


def small_model(demo: Artifact, folder: Path) -> Path:
    """Write a model with the demo's manifest, whose graphs add a tensor from a second file."""
    names = list(demo.manifest.graphs)
    for name in names:
        (folder / name).mkdir(parents=True)
        onnx.save(graph("model.onnx_data"), folder / name / "model.onnx")
        (folder / name / "model.onnx_data").write_bytes(bytes(range(64)))
    files = {
        str(path.relative_to(folder)): {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = json.loads(demo.manifest.to_json()) | {"files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return folder


def graph(location: str, **entries: str) -> onnx.ModelProto:
    """A graph that adds a tensor from another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location, "offset": "0", "length": "64"} | entries).items():
        weights.external_data.add(key=key, value=value)
    shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 4]) for n in ("x", "y")]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return helper.make_model(helper.make_graph([node], "g", shape[:1], shape[1:], [weights]))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Change a file together with its record in the manifest, as an attacker would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"size": len(content), "sha256": sha256(folder / name)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def opened(path: Path) -> int:
    """The exit code of Python after opening a folder and each of its networks."""
    try:
        artifact = open_artifact(path)
        for name in artifact.manifest.graphs:
            artifact.network(name, ["onnx"])
    except errors.SdrtError as error:
        return error.exit_code
    return 0


def open_command(path: Path, formats: tuple[str, ...] = ("onnx",)) -> Command:
    """The command that opens them in the C++ host."""
    return {"op": "open", "path": str(path), "formats": formats}


def change(data: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy of JSON in which the value at a place is another one, or is removed by `...`."""
    data = json.loads(json.dumps(data))
    holder = data
    for step in at[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[at[-1]]
    else:
        holder[at[-1]] = value
    return data
