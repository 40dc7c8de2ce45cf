"""File names that tell models apart, and a description of what is at a path for error messages."""

from collections.abc import Mapping
from pathlib import Path

from sdrt.files.text_file import read_json
from sdrt.manifest import MANIFEST_NAME, Format

GRAPH_FILES: Mapping[Format, str] = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
"""The file in a network's folder that holds its graph; sdrt and Optimum use the same names."""
WEIGHTS_FILES: Mapping[Format, str] = {
    "onnx": "model.onnx_data",
    "openvino": "openvino_model.bin",
}
"""The file next to the graph that holds its weights."""

WEIGHT_SUFFIXES = {
    ".safetensors": "safetensors weights",
    ".ckpt": "a pickled checkpoint",
    ".pt": "a pickled checkpoint",
    ".pth": "a pickled checkpoint",
    ".bin": "raw or pickled weights",
    ".gguf": "a GGUF file (stable-diffusion.cpp)",
    ".onnx": "an ONNX graph",
    ".xml": "an OpenVINO graph",
}


def describe(path: Path) -> str:
    """Name the kind of model at a path, as far as its files tell without being loaded."""
    if not path.exists():
        return "nothing: the path does not exist"
    if path.is_file():
        return WEIGHT_SUFFIXES.get(path.suffix.lower(), "a file of unknown kind")
    if (path / MANIFEST_NAME).is_file():
        return "an artifact of sdrt"
    index = read_json(path / "model_index.json")
    if isinstance(index, dict):
        return _describe_pipeline(path, str(index.get("_class_name", "an unnamed pipeline")))
    config = read_json(path / "config.json")
    if isinstance(config, dict) and ("_class_name" in config or "architectures" in config):
        network = config.get("_class_name") or ", ".join(map(str, config["architectures"]))
        return f"a single network ({network}), not a whole pipeline"
    if (path / "adapter_config.json").is_file():
        return "an adapter (LoRA), not a whole model"
    names = sorted(p.name for p in path.iterdir())
    if not names:
        return "an empty folder"
    for name in names:
        if kind := WEIGHT_SUFFIXES.get(Path(name).suffix.lower()):
            return f"a folder with {kind} ({name}) and no model_index.json"
    return f"a folder that holds no model ({', '.join(names[:4])}{', ...' * (len(names) > 4)})"


def _describe_pipeline(path: Path, class_name: str) -> str:
    if class_name.startswith("OV") or any(path.glob(f"*/{GRAPH_FILES['openvino']}")):
        return f"an OpenVINO export by optimum-intel ({class_name}), without a manifest of sdrt"
    if class_name.startswith("ORT") or any(path.glob(f"*/{GRAPH_FILES['onnx']}")):
        return f"an ONNX export ({class_name}), without a manifest of sdrt"
    return f"a diffusers checkpoint ({class_name})"
