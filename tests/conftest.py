"""What the tests share: markers, and models, of which none is downloaded.

This file imports neither torch nor the exporter, which most of the tests do without.
"""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from filelock import FileLock

from sdrt.artifact import Artifact, open_artifact
from sdrt.manifest import Precision
from tests.data.archive import unpack
from tests.processors import take_own_processors

Maker = Callable[[Path], object]
Sharing = Callable[[], AbstractContextManager[None]]

TESTS = Path(__file__).parent
MODULES = pytest.StashKey[int]()
"""How many modules were imported when what stays was last spared."""
MARKERS = {
    "export": "export",
    "parity": "export",
    "benchmarks/bench/peers": "export",
    "benchmarks/compat": "export",
    "benchmarks/demo_model": "export",
    "cpp": "cpp",
    "server": "serve",
}
"""Folders whose tests have a marker; see `[tool.pytest.ini_options]` in pyproject.toml."""
LONGEST_FIRST = ("export", "cpp", "slow")
BUILDS_FIRST = TESTS / "cpp" / "test_api.py"
"""It takes both builds of the C++ host, which other files would wait for."""
EXPORTING = {
    *("exported_tiny", "tiny_sdxl", "tiny_sd2_v", "unet_twins", "int8_demo"),
    *("tiny_controlnets", "xl_controlnet"),
}
"""Fixtures that give their tests the marker `export`."""
ABSENT = ("diffusers", "onnx_ir", "safetensors", "skimage", "torch", "transformers", "yaml")
"""What tests without the marker `export` have to do without."""


def pytest_configure(config: pytest.Config) -> None:
    """Settle the processors of this process, and what it may import."""
    take_own_processors()
    if "export" in _left_out(config):
        # As where they are not installed, so that a test that needs one of them and is not marked
        # fails in every environment.
        sys.modules.update(dict.fromkeys(ABSENT))  # type: ignore[arg-type]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders whose tests would be deselected, as their imports may be missing."""
    return True if _marker(collection_path) in _left_out(config) else None


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folders and the models that they use, and put long files first.

    Test processes take file after file, and the last ones should be short. While one process builds
    the C++ host, the other exports.
    """
    for item in items:
        marker = _marker(item.path)
        if marker:
            item.add_marker(marker)
        if EXPORTING.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("export")
    ranks: dict[Path, int] = {}
    for item in items:
        names = {marker.name for marker in item.iter_markers()}
        rank = next(
            (i for i, name in enumerate(LONGEST_FIRST) if name in names), len(LONGEST_FIRST)
        )
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: (item.path != BUILDS_FIRST, ranks[item.path]))


def _marker(path: Path) -> str | None:
    """The marker of a folder and of what is in it."""
    markers = (mark for folder, mark in MARKERS.items() if path.is_relative_to(TESTS / folder))
    return next(markers, None)


def _left_out(config: pytest.Config) -> set[str]:
    """The markers without which tests are wanted: a and b for `-m "not a and not b"`."""
    terms = str(config.getoption("markexpr")).split(" and ")
    left_out = {term.removeprefix("not ") for term in terms if term.startswith("not ")}
    return left_out if len(left_out) == len(terms) else set()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Spare what was imported since the last time, if that is much: all at first, then torch."""
    modules = item.config.stash.get(MODULES, 0)
    if len(sys.modules) > modules + 100:
        item.config.stash[MODULES] = len(sys.modules)
        _spare_what_stays()


def _spare_what_stays() -> None:
    """Keep a million objects of imported libraries out of every collection of garbage."""
    gc.collect()
    gc.freeze()


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
                _spare_what_stays()
        return folder

    return made


@pytest.fixture(scope="session")
def shared_traces(made_once: Callable[[str, Maker], Path]) -> Sharing:
    """Makes a context in which exports trace a network only if no test has done so before."""
    from tests.export.shared_traces import sharing_traces

    return lambda: sharing_traces(made_once)


@pytest.fixture(scope="session")
def demo() -> Artifact:
    """The embedded model."""
    return open_artifact("demo")


@pytest.fixture(scope="session")
def tiny_exports(made_once: Callable[[str, Maker], Path]) -> dict[str, Path]:
    """The model in `tests/data/tiny`, in both precisions, each in both formats."""

    def unpacked(precision: str) -> Path:
        archive = TESTS / "data" / "tiny" / f"{precision}.tar.xz"
        return made_once(f"tiny-{precision}", lambda folder: unpack(archive, folder))

    return {precision: unpacked(precision) for precision in ("fp32", "bf16")}


@pytest.fixture(scope="session")
def exported_tiny(
    made_once: Callable[[str, Maker], Path], shared_traces: Sharing
) -> dict[str, Path]:
    """The same model as the exporter makes it now."""
    from tests.data.make_tiny import PRECISIONS, export_tiny

    def exported(precision: Precision) -> Path:
        return made_once(f"exported-{precision}", lambda folder: export_tiny(folder, precision))

    with shared_traces():
        return {precision: exported(precision) for precision in PRECISIONS}


@pytest.fixture(scope="session")
def tiny_sdxl(made_once: Callable[[str, Maker], Path], shared_traces: Sharing) -> Path:
    """The preset `tiny-sdxl` with random weights in fp32, in both formats."""
    from sdrt_export.exporter import export
    from sdrt_export.presets import read_preset
    from sdrt_export.sources.random_weights import RandomCheckpoint

    checkpoint = RandomCheckpoint.from_preset(*read_preset("tiny-sdxl"))
    with shared_traces():
        return made_once("tiny-sdxl", lambda folder: export(checkpoint, folder))


@pytest.fixture(scope="session")
def tiny_controlnets(
    made_once: Callable[[str, Maker], Path], shared_traces: Sharing
) -> dict[str, Path]:
    """A ControlNet with random weights for the model of `tiny_exports`, in fp32 and bf16."""
    from sdrt_export.controlnet_exporter import export_controlnet
    from tests.export.controlnets import tiny_controlnet_checkpoint

    def exported(precision: Precision) -> Path:
        checkpoint = tiny_controlnet_checkpoint()
        return made_once(
            f"controlnet-{precision}",
            lambda folder: export_controlnet(checkpoint, folder, precision),
        )

    with shared_traces():
        return {"fp32": exported("fp32"), "bf16": exported("bf16")}


@pytest.fixture(scope="session")
def xl_controlnet(made_once: Callable[[str, Maker], Path], shared_traces: Sharing) -> Path:
    """A ControlNet with random weights for the model of `tiny_sdxl`."""
    from sdrt_export.controlnet_exporter import export_controlnet
    from tests.export.controlnets import xl_controlnet_checkpoint

    checkpoint = xl_controlnet_checkpoint()
    with shared_traces():
        return made_once("controlnet-xl", lambda folder: export_controlnet(checkpoint, folder))


@pytest.fixture(scope="session")
def tiny_sd2_v(made_once: Callable[[str, Maker], Path], shared_traces: Sharing) -> Artifact:
    """A Stable Diffusion 2 that predicts v, from one file in the original naming, in fp32."""
    from sdrt_export.cli.run_export import run_export
    from sdrt_export.export_options import ExportOptions, SourceOptions
    from tests.export.sources.single_file.twins import ldm_yaml, save, write_yaml

    def make(folder: Path) -> None:
        root = folder.with_name("tiny-sd2-v-source")
        root.mkdir()
        file = save("sd2-v", root / "tiny.safetensors")
        source = SourceOptions(config=str(write_yaml(root / "v.yaml", ldm_yaml("sd2-v"))))
        with shared_traces():
            report = run_export([file, folder], ExportOptions(source=source, quiet=True))
        assert ": fp32, v_prediction, " in report.summary()
        record = report.record()
        assert (record["family"], record["prediction"]) == ("sd2", "v_prediction")

    return open_artifact(made_once("tiny-sd2-v", make))


@pytest.fixture(scope="session")
def tiny_depth(
    made_once: Callable[[str, Maker], Path], shared_traces: Sharing, tiny_sd2_v: Artifact
) -> Artifact:
    """The preset `tiny-depth` in fp32, with `tiny_sd2_v`'s networks besides the U-Net."""
    from sdrt_export.presets import read_preset
    from sdrt_export.sources.random_weights import RandomCheckpoint
    from tests.export.export_parts import export_parts

    def make(folder: Path) -> None:
        name, preset = read_preset("tiny-depth")
        checkpoint = RandomCheckpoint.from_preset(name, preset)
        with shared_traces():
            export_parts(["unet"], checkpoint, preset, folder, tiny_sd2_v.root)

    return open_artifact(made_once("tiny-depth", make))


@pytest.fixture(scope="session")
def unet_twins(
    made_once: Callable[[str, Maker], Path], shared_traces: Sharing
) -> Callable[[str], Artifact]:
    """By the name of a preset that differs from `tiny` in its U-Net: its export in fp32.

    One of them is exported whole, of the others only the U-Net; they share the other networks.
    """
    from sdrt_export.exporter import export
    from sdrt_export.presets import read_preset
    from sdrt_export.sources.random_weights import RandomCheckpoint
    from tests.export.export_parts import export_parts

    def export_whole(folder: Path) -> None:
        name, preset = read_preset("tiny-inpaint")
        checkpoint = RandomCheckpoint.from_preset(name, preset)
        with shared_traces():
            export(checkpoint, folder, "fp32", preset.formats, preset.defaults)

    def made(name: str) -> Artifact:
        whole = made_once("tiny-inpaint", export_whole)
        if name == "tiny-inpaint":
            return open_artifact(whole)

        def export_unet(folder: Path) -> None:
            preset = read_preset(name)[1]
            export_parts(
                ["unet"], RandomCheckpoint.from_preset(name, preset), preset, folder, whole
            )

        return open_artifact(made_once(name, export_unet))

    return made


@pytest.fixture(scope="session")
def int8_demo(made_once: Callable[[str, Maker], Path]) -> Artifact:
    """The embedded model in int8, in both formats, calibrated with little."""
    from sdrt_export.exporter import export
    from sdrt_export.quantization.calibration import CalibrationSettings
    from sdrt_export.quantization.int8_artifact import Int8Settings

    def make(folder: Path) -> None:
        settings = Int8Settings(
            CalibrationSettings(samples=3, steps=4), folder.with_name("statistics.json")
        )
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
