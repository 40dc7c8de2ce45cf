"""The C++ host as `make cpp` builds it, once for all tests, and once more with the sanitizers.

Nothing is skipped where a compiler is missing: the build says what to install, and the tests fail.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Command = Mapping[str, Any]
Ask = Callable[..., list[Any]]
ROOT = Path(__file__).parents[2]


def build(name: str, *options: str) -> Path:
    """Build into `build/NAME`; what did not change since the last time is not compiled again."""
    folder = ROOT / "build" / name
    folder.parent.mkdir(exist_ok=True)
    script = str(ROOT / "runtime/cpp/build.sh")
    command = [script, str(folder), sys.executable, "-DSDRT_TESTS=ON", *options]
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return folder


@pytest.fixture(scope="session")
def host_build() -> Path:
    """Where `sdrt-host`, `libsdrt.so` and the test programs are."""
    return build("cpp")


@pytest.fixture(scope="session")
def sanitized_build() -> Path:
    """The same, with the address and the undefined behaviour sanitizer."""
    flags = "-O0 -D_GLIBCXX_ASSERTIONS"
    return build(
        "cpp-sanitized",
        "-DSDRT_SANITIZE=ON",
        "-DCMAKE_BUILD_TYPE=Sanitized",
        f"-DCMAKE_CXX_FLAGS={flags}",
    )


@pytest.fixture(scope="session")
def clean_environment() -> dict[str, str]:
    """The environment of programs under test: a sanitizer's finding is an exit code of its own."""
    return {
        **os.environ,
        "TBB_ENABLE_SANITIZERS": "1",  # loads its parts as the sanitizers want them loaded
        "ASAN_OPTIONS": "exitcode=99",  # leaks are findings too
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
    }


def asking(program: Path, environment: dict[str, str]) -> Ask:
    """Send commands to a program of C++ parts, and get their results."""

    def ask(*commands: Command) -> list[Any]:
        done = subprocess.run(
            [program],
            input=json.dumps(commands).encode(),
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        results: list[Any] = json.loads(done.stdout)
        assert len(results) == len(commands)
        return results

    return ask
