"""Commands of the benchmark that the runtime's command line lists."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from sdrt_bench.compare.cli import compare
from sdrt_bench.tune.cli import tune

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [compare, tune])
def test_the_package_offers_the_command(command: click.Command) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = str(command.name)
    value = project["entry-points"]["sdrt.commands"][name]
    assert EntryPoint(name, value, "sdrt.commands").load() is command


@pytest.mark.parametrize("name", ["compare", "tune"])
def test_the_command_is_light_until_it_is_used(name: str) -> None:
    code = (
        f"import sys, sdrt_bench.{name}.cli\n"
        "heavy = ('numpy', 'pydantic', 'PIL', 'scipy', 'tqdm', 'onnxruntime', 'openvino')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    roots = os.pathsep.join(str(ROOT / root) for root in ("runtime", "benchmarks"))
    environment = {**os.environ, "PYTHONPATH": roots}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
