"""`sdrt export` from outside: what it prints, and its exit codes."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sdrt
from sdrt.artifact import open_artifact
from sdrt.cli.main import cli
from sdrt_export.cli.export import export
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import ExportOptions
from sdrt_export.graphs.networks import networks
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.conftest import Sharing
from tests.export.shared_traces import MadeOnce, shared_trace
from tests.runtime.cli.command_line import assert_fails, run_here

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def export_here(tmp_path: Path, shared_traces: Sharing) -> Callable[..., Done]:
    """Run `sdrt export` in this process, where a trace that tests share is not made again."""
    cli.add_command(export)  # which an installed package offers by its entry point

    def export_here(*arguments: str) -> Done:
        with shared_traces():
            return run_here("export", *arguments, cwd=tmp_path)

    return export_here


def test_the_command_prints_parity_time_and_memory(
    export_here: Callable[..., Done], tmp_path: Path
) -> None:
    done = export_here("--random", "tiny", "out", "--format", "openvino")
    assert done.returncode == 0, done.stderr
    verified = r"unet, fp32: verified in \d+ s: onnxruntime \d+\.\d dB, openvino \d+\.\d dB"
    assert re.search(verified, done.stderr)
    assert "GB of memory" in done.stdout
    manifest = open_artifact(tmp_path / "out").manifest
    assert {tuple(graph.files) for graph in manifest.graphs.values()} == {("openvino",)}
    assert not list((tmp_path / "out").rglob("*.onnx*"))
    assert (manifest.defaults.width, manifest.source.id) == (64, "random:tiny")


def test_a_disk_that_fills_up_leaves_nothing(
    export_here: Callable[..., Done], made_once: MadeOnce, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk."""
    for network in networks(RandomCheckpoint.from_preset(*read_preset("tiny"))):
        shared_trace(network, made_once)  # for all tests, before files are limited
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        done = export_here("--random", "tiny", "out", "--format", "onnx", "-q")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_fails(done, 5, "cannot write")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "out"], 3, "nowhere is nothing: the path does not exist"),
        ([], 2, "0 paths were given; expected: sdrt export SOURCE DEST"),
        (["."], 2, "1 paths were given; expected: sdrt export SOURCE DEST"),
        (["--random", "tiny"], 2, "0 paths were given; expected: sdrt export --random PRESET DEST"),
        (
            ["--random", "sd99", "out"],
            2,
            "there is no preset 'sd99'; known: demo, instruct-pix2pix, lcm",
        ),
        (["--random", "tiny", "--preset", "tiny", "out"], 2, "give one of them"),
        (["--preset", "tiny", "out"], 2, "names no source"),
        (["--random", "tiny", "out", "--precision", "fp8"], 2, "known: fp32, bf16, int8"),
        (["--random", "tiny", "out", "--format", "onnx,pt"], 2, "known: onnx, openvino"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    cli.add_command(export)  # which an installed package offers by its entry point
    assert_fails(run_here("export", *arguments, cwd=tmp_path), code, message)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sdrt_export"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(sdrt.SdrtError, match=r"pip install 'sdrt\[export\]'") as caught:
        run_export([tmp_path / "out"], ExportOptions(random="tiny", quiet=True))
    assert caught.value.exit_code == 9


def test_optimum_knows_the_command_and_the_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from optimum.exporters.tasks import TasksManager

    import sdrt_export.graphs.optimum_configs  # noqa: F401
    from optimum.commands import optimum_cli

    constructor = TasksManager.get_exporter_config_constructor(
        exporter="sdrt",
        task="semantic-segmentation",
        model_type="unet-2d-condition",
        library_name="diffusers",
    )
    assert constructor is not None
    commands = optimum_cli.load_optimum_namespace_cli_commands()
    assert "sdrt" in [command.name for command, _ in commands if hasattr(command, "name")]
    arguments = ["export", "sdrt", "-m", str(tmp_path), str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["optimum-cli", *arguments])
    with pytest.raises(SystemExit) as caught:
        optimum_cli.main()
    assert caught.value.code == 3
    assert "is an empty folder; expected a diffusers folder" in capsys.readouterr().err
