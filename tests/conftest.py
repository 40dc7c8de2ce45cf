"""Models that the tests share. Nothing is downloaded: the exporter makes them here."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdrt.artifact import Artifact, open_artifact


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests and the tests out of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def demo() -> Artifact:
    """The embedded model."""
    return open_artifact("demo")


@pytest.fixture(scope="session")
def tiny_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The preset `tiny` with random weights, in both precisions and formats."""
    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset
    from sdrt_export.exporter import export

    name, preset = read_preset("tiny")
    checkpoint = RandomCheckpoint.of(name, preset)
    folder = tmp_path_factory.mktemp("exports")
    for precision in ("fp32", "bf16"):
        export(checkpoint, folder / precision, precision, preset.formats, preset.defaults)
    return {precision: folder / precision for precision in ("fp32", "bf16")}


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset `tiny-sdxl` with random weights in fp32, in both formats."""
    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset
    from sdrt_export.exporter import export

    checkpoint = RandomCheckpoint.of(*read_preset("tiny-sdxl"))
    return export(checkpoint, tmp_path_factory.mktemp("sdxl") / "fp32").path


@pytest.fixture(scope="session")
def int8_demo(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The embedded model in int8, in both formats, calibrated with little."""
    from sdrt_export.exporter import export
    from sdrt_export.quantization.artifact import Settings
    from sdrt_export.quantization.calibration import Sampling

    folder = tmp_path_factory.mktemp("int8") / "demo"
    settings = Settings(Sampling(samples=3, steps=4), folder.with_name("statistics.json"))
    export("demo", folder, "int8", settings=settings)
    return open_artifact(folder)


@pytest.fixture
def tiny_path(tiny_exports: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the fp32 artifact, to be damaged at will."""
    return Path(shutil.copytree(tiny_exports["fp32"], tmp_path / "tiny"))


@pytest.fixture
def tiny(tiny_exports: dict[str, Path]) -> Artifact:
    """The fp32 artifact, to be left as it is."""
    return open_artifact(tiny_exports["fp32"])
