"""The tiny model as folders that look as if optimum had exported it."""

import shutil
from pathlib import Path

import pytest

from tests.runtime.artifact.peers import as_onnx, as_openvino


@pytest.fixture(scope="module")
def folders(
    tiny_exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("peers")
    return {
        "onnx": as_onnx(tiny_exports["fp32"], root / "onnx"),
        "openvino": as_openvino(tiny_exports["fp32"], root / "openvino"),
        "fp16": as_openvino(tiny_exports["fp32"], root / "fp16", halve=True),
    }


@pytest.fixture
def onnx_folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy, to be damaged at will."""
    return Path(shutil.copytree(folders["onnx"], tmp_path / "onnx"))


@pytest.fixture
def ir_folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """The same in OpenVINO IR."""
    return Path(shutil.copytree(folders["openvino"], tmp_path / "openvino"))
