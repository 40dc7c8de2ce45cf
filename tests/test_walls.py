"""Walls between the parts: the runtime needs no torch, nothing knows who must not be known."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "runtime/sdrt": {
        *("torch", "transformers", "diffusers", "optimum", "yaml", "safetensors", "onnx"),
        *("sdrt_export", "sdrt_bench", "demo_model", "sdrt_server"),
    },
    "runtime/sdrt_server": {
        *("torch", "transformers", "diffusers", "optimum", "yaml", "safetensors", "onnx"),
        *("sdrt_export", "sdrt_bench", "demo_model"),
    },
    "export/sdrt_export": {"sdrt_bench", "demo_model"},
    "benchmarks/sdrt_bench": {"demo_model"},  # which is not in the wheel
}


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_runtime_makes_pictures_where_torch_cannot_be_imported(engine: str) -> None:
    done = python(
        "import sys\n"
        "for name in ('torch', 'transformers', 'diffusers', 'optimum', 'safetensors', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "import sdrt\n"
        f"result = sdrt.load(backend={engine!r})('a boat', num_inference_steps=2, seed=1)\n"
        "print(result.images[0].size)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(128, 128)\n"


def test_importing_sdrt_loads_neither_engine() -> None:
    done = python(
        "import sys, sdrt, sdrt.pipeline\n"
        "print([name for name in ('onnxruntime', 'openvino', 'torch') if name in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("root", sorted(FORBIDDEN))
def test_no_module_imports_what_lies_on_the_other_side(root: str) -> None:
    for path in (ROOT / root).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            imports = {name.partition(".")[0] for name in names} & FORBIDDEN[root]
            assert not imports, f"{path} imports {imports}"


@pytest.mark.slow
def test_the_wheel_holds_the_packages_the_presets_and_the_embedded_model(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    # `optimum` is Optimum's namespace, where its command line looks for further commands.
    assert tops == {"optimum", "sdrt", "sdrt_export", "sdrt_bench", "sdrt_server"}
    assert [name for name in names if name.startswith("optimum/")] == [
        "optimum/commands/register/register_sdrt.py"
    ]
    presets = {path.name for path in (ROOT / "configs").rglob("*.yaml")}
    assert {Path(n).name for n in names if n.startswith("sdrt_export/presets/")} == presets
    for name in (
        *("sdrt/py.typed", "sdrt/demo/manifest.json", "sdrt/demo/unet/model.onnx_data"),
        "sdrt/text/styles.json",
        *(f"sdrt_server/page/{name}" for name in ("index.html", "page.css", "main.js")),
        *(f"sdrt_export/clip_vocabulary/{name}" for name in ("merges.txt", "LICENSE")),
    ):
        assert name in names
    assert wheel.stat().st_size < 40_000_000


def test_the_public_face() -> None:
    import sdrt

    expected = {"Control", "Pipeline", "Result", "Run", "SdrtError", "Step", "__version__", "load"}
    assert set(sdrt.__all__) == expected
    for name in sdrt.__all__:
        assert getattr(sdrt, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sdrt.nothing  # noqa: B018
