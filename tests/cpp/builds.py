"""The C++ host as `make cpp` builds it, and once more with the sanitizers.

As a program it makes both, so that they can be there before the tests begin.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.processors import all_processors

ROOT = Path(__file__).parents[2]
USERS_ENVIRONMENT = dict(os.environ)
"""As it is before tests get a cache of their own: ccache keeps its results in the user's."""


def build_host() -> Path:
    """The folder with `sdrt-host` and `libsdrt.so`."""
    return _build("cpp")


def build_sanitized() -> Path:
    """The same with test programs, and with the address and the undefined behaviour sanitizer.

    Gold links it in half the time, where it is installed.
    """
    flags = "-O0 -D_GLIBCXX_ASSERTIONS"
    if shutil.which("ld.gold"):
        flags += " -fuse-ld=gold"
    return _build(
        "cpp-sanitized",
        "-DSDRT_TESTS=ON",
        "-DSDRT_SANITIZE=ON",
        "-DCMAKE_BUILD_TYPE=Sanitized",
        f"-DCMAKE_CXX_FLAGS={flags}",
    )


def _build(name: str, *options: str) -> Path:
    """Build into `build/NAME`; what did not change since the last time is not compiled again."""
    folder = ROOT / "build" / name
    folder.parent.mkdir(exist_ok=True)
    script = str(ROOT / "runtime/cpp/build.sh")
    command = [script, str(folder), sys.executable, *options]
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        with all_processors():
            done = subprocess.run(command, env=USERS_ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return folder


if __name__ == "__main__":
    build_host()
    build_sanitized()
