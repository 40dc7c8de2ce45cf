"""Make `tests/data/tiny`, the model with which the runtime is tested where there is no torch.

    python -m tests.data.make_tiny

It has random weights in the geometry of `tests/data/tiny.yaml`, and lies there as it was exported,
in both precisions and both formats, one archive for each precision: OpenVINO's graphs are so wordy
that 5 MB of files are 0.8 MB of archives.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from sdrt.manifest import Precision
from sdrt_export.exporter import export
from sdrt_export.presets import Preset, read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.data.archive import pack

DATA = Path(__file__).parent
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def committed_preset() -> Preset:
    """The preset of `tests/data/tiny`."""
    return read_preset(DATA / "tiny.yaml")[1]


def committed_checkpoint() -> RandomCheckpoint:
    """The weights of `tests/data/tiny`."""
    return RandomCheckpoint.from_preset("tiny", committed_preset())


def export_tiny(folder: Path, precision: Precision) -> None:
    """Export those weights."""
    preset = committed_preset()
    export(committed_checkpoint(), folder, precision, preset.formats, preset.defaults)


def main() -> None:
    """Export and pack both precisions."""
    (DATA / "tiny").mkdir(exist_ok=True)
    for precision in PRECISIONS:
        with TemporaryDirectory() as scratch:
            export_tiny(Path(scratch, precision), precision)
            pack(Path(scratch, precision), DATA / "tiny" / f"{precision}.tar.xz")


if __name__ == "__main__":
    main()
