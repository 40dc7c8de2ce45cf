"""Full disks, locked folders and interrupts: nothing half is left, and the exit code says why."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runtime.cli.command_line import ENVIRONMENT, assert_fails


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    [["--output"], ["--grid"], ["--trajectory"], ["--preview", "vae", "--preview-path"]],
    ids=lambda option: option[-1],
)
def test_a_folder_without_permission_is_refused_before_the_work(
    tmp_path: Path, option: list[str]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    # So many steps would outlast the test.
    steps = ("--steps", 1000, "--size", "1024x1024")
    done = _unprivileged("generate", "x", *steps, *option, folder / "x.png", readonly=folder)
    assert_fails(done, 5, "cannot write", "Permission denied")
    assert list(folder.iterdir()) == []


def _unprivileged(*arguments: object, readonly: Path) -> subprocess.CompletedProcess[str]:
    """Run as somebody who may not write to a folder; root could, unless it gives that right up."""
    readonly.chmod(0o555)
    code = (
        "import ctypes, os, sys\n"
        "for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH\n"
        "    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "-m", "sdrt", *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writes fail in the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run(
        [sys.executable, "-m", "sdrt", "generate", "x", "--steps", "1", "-o", "x.png"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=limit,
    )
    assert_fails(done, 5, "cannot write x.png", "File too large")
    assert list(tmp_path.iterdir()) == []


def interrupted(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """A run of a thousand steps that has been interrupted within its second step."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sdrt",
            *map(str, arguments),
            "--steps",
            "1000",
            "--preview",
            "proj",
        ],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in a shell's background inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (folder / "preview.png").exists():  # until the first step is done
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    return process


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_no_picture(tmp_path: Path) -> None:
    process = interrupted(tmp_path, "generate", "x", "--size", "256x256")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [file.name for file in tmp_path.iterdir()] == ["preview.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "trace"),
    [("onnxruntime", "terminate flag being set"), ("openvino", "Request was canceled")],
)
def test_ctrl_c_ends_a_run_inside_a_step(tmp_path: Path, backend: str, trace: str) -> None:
    """The traceback that was asked for shows that the network did not finish."""
    large = ("--size", "768x768", "--backend", backend, "-t", 1)
    process = interrupted(tmp_path, "--debug", "generate", "x", *large)
    _, errors = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    assert trace in errors
