"""Models that the tests share. Nothing is downloaded: the exporter makes them here."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from sdrt.artifact import Artifact, open_artifact
from sdrt.manifest import MANIFEST_NAME, Precision

Maker = Callable[[Path], object]


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
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Maker], Path]:
    """A folder by its name, which the first test process that asks makes for all of them."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Maker) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                partial = shared / f"{name}.partial"
                make(partial)
                partial.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def demo() -> Artifact:
    """The embedded model."""
    return open_artifact("demo")


@pytest.fixture(scope="session")
def tiny_exports(made_once: Callable[[str, Maker], Path]) -> dict[str, Path]:
    """The preset `tiny` with random weights, in both precisions and formats."""
    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset
    from sdrt_export.exporter import export

    name, preset = read_preset("tiny")
    checkpoint = RandomCheckpoint.of(name, preset)

    def make(precision: Precision) -> Path:
        settings = precision, preset.formats, preset.defaults
        return made_once(f"tiny-{precision}", lambda folder: export(checkpoint, folder, *settings))

    return {precision: make(precision) for precision in ("fp32", "bf16")}


@pytest.fixture(scope="session")
def tiny_sdxl(made_once: Callable[[str, Maker], Path]) -> Path:
    """The preset `tiny-sdxl` with random weights in fp32, in both formats."""
    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset
    from sdrt_export.exporter import export

    checkpoint = RandomCheckpoint.of(*read_preset("tiny-sdxl"))
    return made_once("tiny-sdxl", lambda folder: export(checkpoint, folder))


@pytest.fixture(scope="session")
def unet_twins(
    tiny_exports: dict[str, Path], made_once: Callable[[str, Maker], Path]
) -> Callable[[str], Artifact]:
    """By the name of a preset that differs from `tiny` in its U-Net: its export in fp32.

    Only the U-Net is exported, and only once; the other networks are those of `tiny`.
    """

    def made(name: str) -> Artifact:
        rest = tiny_exports["fp32"]
        return open_artifact(made_once(name, lambda folder: _export_unet(name, folder, rest)))

    return made


def _export_unet(preset: str, folder: Path, rest: Path) -> None:
    from sdrt_export import exporter
    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset
    from sdrt_export.networks import networks

    name, found = read_preset(preset)
    checkpoint = RandomCheckpoint.of(name, found)
    unet_only = pytest.MonkeyPatch()
    unet_only.setattr(exporter, "networks", lambda c: (n for n in networks(c) if n.name == "unet"))
    try:
        exporter.export(checkpoint, folder, "fp32", found.formats, found.defaults)
    finally:
        unet_only.undo()
    own, others = (open_artifact(root).manifest for root in (folder, rest))
    files = {file: one for file, one in others.files.items() if file not in own.files}
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(rest / file, folder / file)
    update = {"graphs": {**others.graphs, **own.graphs}, "files": {**files, **own.files}}
    (folder / MANIFEST_NAME).write_text(own.model_copy(update=update).to_json())


@pytest.fixture(scope="session")
def int8_demo(made_once: Callable[[str, Maker], Path]) -> Artifact:
    """The embedded model in int8, in both formats, calibrated with little."""
    from sdrt_export.exporter import export
    from sdrt_export.quantization.artifact import Settings
    from sdrt_export.quantization.calibration import Sampling

    def make(folder: Path) -> None:
        settings = Settings(Sampling(samples=3, steps=4), folder.with_name("statistics.json"))
        export("demo", folder, "int8", settings=settings)

    return open_artifact(made_once("demo-int8", make))


@pytest.fixture
def tiny_path(tiny_exports: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the fp32 artifact, to be damaged at will."""
    return Path(shutil.copytree(tiny_exports["fp32"], tmp_path / "tiny"))


@pytest.fixture
def tiny(tiny_exports: dict[str, Path]) -> Artifact:
    """The fp32 artifact, to be left as it is."""
    return open_artifact(tiny_exports["fp32"])
