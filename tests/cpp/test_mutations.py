"""Damaged and hostile model folders: each ends in Python's exit code, none in a crash.

The host is built with the sanitizers. Damaged files keep their hash in the manifest; hostile files
are listed with their new hash, as an attacker would list them. The damage is another one each day.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sdrt.cli.main import main

COUNT = 32
Json = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """A copy of a model, made of links; what is written to replaces its link."""

    root: Path
    chance: random.Random

    @property
    def manifest(self) -> Json:
        return dict(json.loads((self.root / "manifest.json").read_text()))

    def listed(self) -> str:
        """One of the files that a run reads."""
        names: list[str] = [name for name in self.manifest["files"] if self._is_used(name)]
        return self.chance.choice(names)

    @staticmethod
    def _is_used(name: str) -> bool:
        folder = name.partition("/")[0]
        is_graph = folder in ("text_encoder", "unet", "vae_decoder") and ".onnx" in name
        return is_graph or folder == "tokenizer"

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).unlink()
        (self.root / name).write_bytes(data)

    def write_listed(self, name: str, data: bytes) -> None:
        """Write a file, and its new size and hash into the manifest."""
        self.write(name, data)
        manifest = self.manifest
        manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.write("manifest.json", json.dumps(manifest).encode())

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


def truncate(folder: Folder) -> None:
    name = folder.chance.choice([folder.listed(), "manifest.json"])
    data = folder.read(name)
    folder.write(name, data[: folder.chance.randrange(len(data) - 2)])


def flip(folder: Folder) -> None:
    name = folder.listed()
    data = bytearray(folder.read(name))
    data[folder.chance.randrange(len(data))] ^= 1 << folder.chance.randrange(8)
    folder.write(name, bytes(data))


def remove(folder: Folder) -> None:
    (folder.root / folder.listed()).unlink()


def swap(folder: Folder) -> None:
    network, other = folder.chance.sample(["text_encoder", "unet", "vae_decoder"], 2)
    first, second = folder.read(f"{network}/model.onnx"), folder.read(f"{other}/model.onnx")
    folder.write_listed(f"{network}/model.onnx", second)
    folder.write_listed(f"{other}/model.onnx", first)


def no_graph(folder: Folder) -> None:
    name = folder.chance.choice(["text_encoder", "unet", "vae_decoder"])
    data = folder.read(f"{name}/model.onnx")
    damaged = [b"", b"\x00" * 100, folder.chance.randbytes(3000), data[: len(data) // 2]]
    folder.write_listed(f"{name}/model.onnx", folder.chance.choice(damaged))


def truncated_weights(folder: Folder) -> None:
    name = folder.chance.choice(["text_encoder", "unet", "vae_decoder"]) + "/model.onnx_data"
    data = folder.read(name)
    folder.write_listed(name, data[: folder.chance.randrange(len(data) // 2)])


def weights_outside(folder: Folder) -> None:
    """The true weights lie beside the folder: whoever reads them makes a picture."""
    name = folder.chance.choice(["text_encoder", "unet", "vae_decoder"])
    outside = folder.root.parent / "true_data"
    shutil.copy(folder.root / name / "model.onnx_data", outside)
    # As long as the name that is there, so that the graph stays what it is.
    relative, absolute = b"../../true_data", str(outside).encode()
    data = folder.read(f"{name}/model.onnx")
    location = b"model.onnx_data"
    assert len(relative) == len(location)
    if folder.chance.random() < 0.5:
        folder.write_listed(f"{name}/model.onnx", data.replace(location, relative))
        return
    import onnx

    model = onnx.load_model_from_string(data)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = absolute.decode()
    folder.write_listed(f"{name}/model.onnx", model.SerializeToString())


def link_outside(folder: Folder) -> None:
    name = folder.listed()
    outside = folder.root.parent / "outside"
    outside.write_bytes(folder.read(name))
    (folder.root / name).unlink()
    (folder.root / name).symlink_to(outside)


def hostile_manifest(folder: Folder) -> None:
    """One field of the manifest, at any depth, becomes something else."""
    manifest = folder.manifest
    places = list(_places(manifest))
    values: list[Any] = [
        None,
        "",
        "../../etc/passwd",
        "/etc/passwd",
        -1,
        2**63,
        2**70,
        1e308,
        [],
        {},
    ]
    values += [[[[]]], "x" * 100_000, "\x00", "\ud800", True, 0.5]
    for _ in range(100):
        holder, key = folder.chance.choice(places)
        before, value = holder[key], folder.chance.choice(values)
        holder[key] = value
        if not _may_stand(key, before, value):
            break
        holder[key] = before
    folder.write("manifest.json", json.dumps(manifest).encode())


def hostile_json(folder: Folder) -> None:
    name = folder.chance.choice(["manifest.json", "tokenizer/tokenizer.json"])
    deep = b"[" * 200_000
    texts = [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b"{" * 50_000,
        deep,
        b'{"a":' * 50_000,
        b'{"schema": 1e999}',
        b'{"schema": NaN}',
        b'{"schema": 2}',
        b'{"schema": 1}',
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": [], "merges": {}}}',
        b'{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": [["a", "b"]]}}',
        b'{"model": {"type": "BPE", "vocab": {"a": 1e30}, "merges": ["a b c d"]}}',
    ]
    if name == "manifest.json":
        folder.write(name, folder.chance.choice(texts))
    else:
        folder.write_listed(name, folder.chance.choice(texts))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, member in items:
        yield value, key
        if isinstance(member, dict | list):
            yield from _places(member)


def _may_stand(key: Any, before: Any, value: Any) -> bool:
    """Whether a model stays one with this: free texts, versions, figures that nobody needs."""
    is_text = isinstance(before, str | int) or key == "revision"  # a size may have a name
    free = is_text and isinstance(value, str)
    return free or type(before) is type(value) or isinstance(before, float) or value is None


# How many of each kind.
MUTATIONS: dict[Callable[[Folder], None], int] = {
    truncate: 5,
    flip: 4,
    remove: 2,
    swap: 2,
    no_graph: 3,
    truncated_weights: 2,
    weights_outside: 4,
    link_outside: 2,
    hostile_manifest: 5,
    hostile_json: 3,
}
CASES = [(kind, i) for kind, count in MUTATIONS.items() for i in range(count)]


def mutate(model: Path, root: Path, kind: Callable[[Folder], None], number: int, seed: str) -> Path:
    shutil.copytree(model, root / "model", copy_function=os.link)
    kind(Folder(root / "model", random.Random(f"{seed} {kind.__name__} {number}")))
    return root / "model"


def test_every_damaged_model_ends_in_python_s_exit_code(
    sanitized_build: Path,
    clean_environment: dict[str, str],
    tiny_exports: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: str,
) -> None:
    assert len(CASES) == COUNT
    options = ["--steps", "1", "-s", "1", "--size", "64x64", "--backend", "onnxruntime", "-o"]
    # A copy to link to: libraries refuse weights with more than one link, and other tests read
    # the shared model.
    model = shutil.copytree(tiny_exports["fp32"], tmp_path / "whole")
    models = [
        mutate(model, tmp_path / f"{kind.__name__}-{number}", kind, number, seed)
        for kind, number in CASES
    ]

    def host(model: Path) -> subprocess.CompletedProcess[str]:
        words = ["generate", "x", "-m", str(model), *options, str(model.parent / "host.png")]
        return subprocess.run(
            [sanitized_build / "sdrt-host", *words],
            env=clean_environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )

    def python(model: Path) -> int:
        words = ["generate", "x", "-m", str(model), *options, str(model.parent / "python.png")]
        monkeypatch.setattr("sys.argv", ["sdrt", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    with ThreadPoolExecutor(2) as workers:
        done = list(workers.map(host, models))
    wrong = []
    for model, run in zip(models, done, strict=True):
        expected = python(model)
        if run.returncode != expected or run.returncode not in (3, 9):
            wrong.append((model.parent.name, run.returncode, expected, run.stderr[-2000:]))
    assert not wrong, f"{len(wrong)} of {COUNT}, SDRT_TEST_SEED={seed}: {wrong[:5]}"
    assert not list(tmp_path.glob("*/host.png"))
