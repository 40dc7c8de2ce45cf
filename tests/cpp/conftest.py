"""The C++ host as `make cpp` builds it, once for all tests, and once more with the sanitizers.

Nothing is skipped where a compiler is missing: the build says what to install, and the tests fail.
"""

import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import Artifact
from tests.cpp.builds import build_host, build_sanitized
from tests.cpp.commands import Ask, Command, Run
from tests.cpp.models import small_model


@pytest.fixture(scope="session")
def host_build() -> Path:
    """The folder with `sdrt-host` and `libsdrt.so`."""
    return build_host()


@pytest.fixture(scope="session")
def sanitized_build() -> Path:
    """The same with test programs, and with the sanitizers."""
    return build_sanitized()


@pytest.fixture(scope="session")
def clean_environment() -> dict[str, str]:
    """The environment of programs under test: a sanitizer's finding is an exit code of its own."""
    return {
        **os.environ,
        "TBB_ENABLE_SANITIZERS": "1",  # loads its parts as the sanitizers want them loaded
        # Leaks are findings too. Where memory was taken is kept for two calls only: whole stacks,
        # of all that OpenVINO allocates, are half of the time.
        "ASAN_OPTIONS": "exitcode=99:malloc_context_size=2",
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
    }


@pytest.fixture(scope="session")
def ask(sanitized_build: Path, clean_environment: dict[str, str]) -> Ask:
    """Send commands to the test program: each gives `{"result": ...}` or an error of sdrt."""

    def ask(*commands: Command) -> list[Any]:
        done = subprocess.run(
            [sanitized_build / "test-commands"],
            input=json.dumps(commands).encode(),
            env=clean_environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        answers: list[Any] = json.loads(done.stdout)
        assert len(answers) == len(commands)
        return answers

    return ask


@pytest.fixture(scope="session")
def results(ask: Ask) -> Ask:
    """Send commands of which none fails, and get their results."""

    def results(*commands: Command) -> list[Any]:
        answers = ask(*commands)
        assert [answer for answer in answers if "result" not in answer] == []
        return [answer["result"] for answer in answers]

    return results


@pytest.fixture(scope="session")
def run(host_build: Path) -> Run:
    """Run `sdrt-host`."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [host_build / "sdrt-host", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def model(demo: Artifact, tmp_path: Path) -> Path:
    """A small artifact with the demo's manifest, whose graphs have external weights."""
    return small_model(demo, tmp_path / "model")


@pytest.fixture
def seed() -> str:
    """The seed of a test with random damage: another one each day.

    A test that fails prints it; set SDRT_TEST_SEED to it to repeat the test.
    """
    seed = os.environ.get("SDRT_TEST_SEED", f"{date.today()}")
    print(f"SDRT_TEST_SEED={seed}")
    return seed
