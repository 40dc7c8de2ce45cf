"""Environments are made from a stand-in package: no network is needed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sdrt.errors import UnsupportedError
from sdrt_bench.bench.peers.environments import (
    READY,
    Environment,
    EnvironmentSpec,
    environment_specs,
    peer_environment,
    prepare,
    torch_requirement,
)

RECIPE = EnvironmentSpec("standin", ("standin==1.5",), modules=("standin",))


def write_wheel(folder: Path, code: str = "") -> list[str]:
    folder.mkdir()
    info = "standin-1.5.dist-info"
    with zipfile.ZipFile(folder / "standin-1.5-py3-none-any.whl", "w") as wheel:
        wheel.writestr("standin.py", code)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: standin\nVersion: 1.5\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return ["--no-index", "--find-links", str(folder)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def made(root: Path) -> Environment:
    return prepare(RECIPE, root / "cache", write_wheel(root / "wheels"))


def test_an_environment_is_made_once_and_knows_its_versions(made: Environment, root: Path) -> None:
    assert made.versions["standin"] == "1.5"
    code = "import standin, sys; print(sys.prefix)"
    shown = subprocess.run([made.python, "-c", code], capture_output=True, text=True, check=True)
    assert Path(shown.stdout.strip()) == made.folder

    empty = ["--no-index", "--find-links", str(root / "nothing")]
    assert prepare(RECIPE, root / "cache", empty) == made


def test_a_package_that_is_not_to_be_had_is_an_error_with_the_words_of_pip(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ["--no-index", "--find-links", str(tmp_path / "empty")]
    with pytest.raises(UnsupportedError, match=r"install standin==1\.5: ERROR: .*standin==1\.5"):
        prepare(RECIPE, tmp_path / "cache", options)
    assert not list((tmp_path / "cache").rglob(READY))


def test_what_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    broken = write_wheel(tmp_path / "broken", "raise RuntimeError('no such processor')")
    with pytest.raises(UnsupportedError, match="import standin.*no such processor"):
        prepare(RECIPE, tmp_path / "cache", broken)
    made = prepare(RECIPE, tmp_path / "cache", write_wheel(tmp_path / "wheels"))
    assert made.versions["standin"] == "1.5"


def test_another_requirement_is_another_environment() -> None:
    newer = EnvironmentSpec("standin", ("standin==2.0",), modules=("standin",))
    assert newer.key != RECIPE.key


def test_all_peers_on_torch_get_the_torch_that_runs_here() -> None:
    import torch

    assert torch_requirement() == f"torch=={torch.__version__.partition('+')[0]}"
    with_torch = [spec for spec in environment_specs().values() if spec.name != "ggml"]
    assert all(torch_requirement() in spec.requirements for spec in with_torch)


def test_everything_that_is_installed_by_name_is_pinned() -> None:
    wanted = [name for recipe in environment_specs().values() for name in recipe.requirements]
    assert all("==" in name for name in wanted)


def test_a_peer_sees_nothing_of_our_paths(made: Environment) -> None:
    environment = peer_environment(made, {"PYTHONPATH": "ours", "PATH": "old", "HOME": "home"})
    assert "PYTHONPATH" not in environment
    assert environment["PATH"].split(":") == [str(made.scripts), "old"]
    assert environment["HOME"] == "home"
    assert sys.prefix != environment["VIRTUAL_ENV"]
