"""The header for embedders, from C++ and from C."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.artifact import Artifact
from sdrt_bench.similarity import psnr_db

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "runtime/cpp/examples/embed"
CASES = (
    "steps_are_shown",
    "a_callback_cancels",
    "a_callback_throws",
    "a_thread_cancels",
    "pipelines_work_side_by_side",
    "several_pictures",
    "wrong_arguments",
)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("case", CASES)
def test_the_header_keeps_its_word(
    sanitized_build: Path,
    clean_environment: dict[str, str],
    tiny_exports: dict[str, Path],
    case: str,
    backend: str,
) -> None:
    done = subprocess.run(
        [sanitized_build / "api-cases", case, tiny_exports["fp32"], backend],
        env=clean_environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_every_case_is_run(sanitized_build: Path) -> None:
    done = subprocess.run([sanitized_build / "api-cases"], capture_output=True, text=True)
    assert done.stdout.split() == sorted(CASES)


@pytest.fixture(scope="module")
def examples(host_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, built outside of sdrt's own build with what it installs."""
    folder = tmp_path_factory.mktemp("embed")
    commands: list[list[str | Path]] = [
        ["cmake", "--install", host_build, "--prefix", folder / "installed"],
        ["cmake", "-S", shutil.copytree(EXAMPLE, folder / "embed"), "-B", folder / "build"],
        ["cmake", "--build", folder / "build"],
    ]
    environment = {**os.environ, "CMAKE_PREFIX_PATH": str(folder / "installed")}
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build"


@pytest.mark.parametrize("program", ["picture", "picture-c"])
def test_an_example_makes_the_picture_that_python_makes(
    examples: Path, demo: Artifact, tmp_path: Path, program: str
) -> None:
    done = subprocess.run(
        [examples / program, demo.root], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = sdrt.load()("a red boat on the sea at sunset", seed=7).images[0]
    with Image.open(tmp_path / "picture.png") as found:
        assert psnr_db(np.asarray(expected), np.asarray(found)) >= 35


@pytest.mark.parametrize("program", ["picture", "picture-c"])
def test_an_example_says_what_is_wrong(examples: Path, tmp_path: Path, program: str) -> None:
    done = subprocess.run(
        [examples / program, "nowhere"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "nowhere" in done.stderr


def test_an_example_is_short() -> None:
    for name in ("picture.cpp", "picture.c"):
        assert len((EXAMPLE / name).read_text().splitlines()) < 40
