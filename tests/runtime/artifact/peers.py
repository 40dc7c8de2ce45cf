"""Folders with the layout and the habits of optimum, but the graphs of an export of ours.

So nothing has to be installed; what optimum itself writes is held against sdrt by `make compat`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import openvino as ov

from sdrt_export.artifact.openvino_genai import take_whole_timesteps

PROMPT = "a red boat, it's 12 o'clock!"


OPENVINO = "openvino_model.xml"


ONNX = "model.onnx"


def change_json(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **changes}))


def split_tokenizer(folder: Path) -> None:
    """As releases of transformers before 5 save it."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *map(" ".join, model["merges"])])
    )


def save(model: ov.Model, path: Path, halve: bool) -> None:
    ov.save_model(model, path.with_name("new.xml"), compress_to_fp16=halve)
    for suffix in (".xml", ".bin"):
        path.with_name("new").with_suffix(suffix).rename(path.with_suffix(suffix))


def with_one_chunk(model: ov.Model) -> None:
    """As many tokens as one chunk has, and no more."""
    (text,) = (port for port in model.inputs if "encoder_hidden_states" in port.get_names())
    shape = text.get_partial_shape()
    shape[1] = 77
    model.reshape({text: shape})


def as_openvino(source: Path, folder: Path, halve: bool = False) -> Path:
    """An export by `optimum-cli export openvino`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("manifest.json", f"{ONNX}*"))
    change_json(folder / "model_index.json", _class_name="OVStableDiffusionPipeline")
    core = ov.Core()
    for path in folder.glob(f"*/{OPENVINO}"):
        model = core.read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
        if path.parent.name == "unet":
            take_whole_timesteps(model)
            with_one_chunk(model)
        for result in model.get_results():
            if "layer_states" in result.input_value(0).get_names():
                model.remove_result(result)
        model.set_rt_info("2.2.0", ["optimum", "optimum_intel_version"])
        save(model, path, halve)
    return folder


def as_onnx(source: Path, folder: Path) -> Path:
    """An export by `optimum-cli export onnx`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("manifest.json", "openvino*"))
    path = folder / "text_encoder" / ONNX
    model = onnx.load(path)
    (layers,) = (output for output in model.graph.output if output.name == "layer_states")
    model.graph.output.remove(layers)
    path.unlink()
    (path.parent / "model.onnx_data").unlink()
    onnx.save(model, path)
    split_tokenizer(folder / "tokenizer")
    return folder


Change = Callable[[Path], Any]


def config(part: str, **changes: Any) -> Change:
    return lambda root: change_json(root / part / "config.json", **changes)


def with_onnx(change: Callable[[Any], Any], part: str = "unet") -> Change:
    def damage(root: Path) -> None:
        path = root / part / ONNX
        model = onnx.load(path, load_external_data=False)
        change(model.graph)
        path.write_bytes(model.SerializeToString())

    return damage
