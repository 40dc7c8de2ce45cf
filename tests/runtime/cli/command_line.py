"""The command line, as it is started from outside and in this process."""

import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest

from sdrt.cli.main import main

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ("runtime", "export", "benchmarks")),
}


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sdrt", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_here(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own: for commands that end before any work."""
    line, out, err = ["sdrt", *map(str, arguments)], StringIO(), StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err), mock.patch("sys.argv", line):
        with pytest.raises(SystemExit) as end:
            main()
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(line, end.value.code, out.getvalue(), err.getvalue())


def assert_fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""
