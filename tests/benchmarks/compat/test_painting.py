"""Other tools paint in processes of their own; one that ends early costs one picture."""

import sys
from pathlib import Path

import pytest

from sdrt.artifact import Artifact
from sdrt_bench.bench.peers.environments import Environment
from sdrt_bench.compat import painting
from sdrt_bench.compat.painting import ImageRequest, paint_with_tool

WORKER = """
import json, os, shutil, sys
for spec in json.load(sys.stdin):
    kind = os.path.basename(spec["options"]["model"])
    if kind == "crash":
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(9)
    outcome = {"error": "ValueError: no"}
    if kind == "picture":
        outcome = {"picture": os.path.join(os.path.dirname(__file__), "white.png")}
    json.dump(outcome, open(spec["result"], "w"))
"""


def test_a_tool_that_crashes_goes_on_with_the_next(
    demo: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    (tmp_path / "worker.py").write_text(WORKER)
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(painting, "WORKERS", tmp_path)
    kinds = ("picture", "crash", "error", "picture")
    requests = [(ImageRequest(Path(kind), "onnx", "fp32", 1), demo) for kind in kinds]
    results = paint_with_tool(requests, "worker.py", Environment(tmp_path), tmp_path / "work")
    assert [result.picture is not None for result in results] == [True, False, False, True]
    assert results[1].error == "ended with 9: out of luck"
    assert results[2].error == "ValueError: no"
