"""`sdrt export` as it is started from outside."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def export_command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    roots = os.pathsep.join(str(ROOT / root) for root in ("runtime", "export"))
    code = "import sys; from sdrt.cli.main import cli, main\n"
    code += "from sdrt_export.cli.export import export\n"
    code += "cli.add_command(export); sys.argv[1:1] = ['export']; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )
