"""The C++ host reads manifests, and refuses wrong ones, as Python does."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import open_artifact
from tests.cpp.commands import Ask
from tests.cpp.models import change, open_command, opened


def test_the_hash_is_pythons_for_any_number_and_text(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    data["made_with"] = {"ünïcode\n\x01\x7f": '"\\/\b\f 😀'}
    values = [0.1, 1e-5, 1.5e-5, 1e-6, 1e-7, 1e15, 1e16, 1.25e17, 1e300, 5e-324, 3, 100.0, 1 / 3]
    unet = data["graphs"]["unet"]
    unet["parity_db"] = {f"n{i}": s * v for i, v in enumerate(values) for s in (1, -1)}
    unet["parity_db"]["zero"] = -0.0
    data["defaults"]["sampler_options"] = {"a": True, "b": 1, "c": 1.0, "d": "x"}
    data["source"]["loras"] = [
        {"file": f"{i}.safetensors", "sha256": "0" * 64, "weight": w}
        for i, w in ((0, 1), (1, -0.8))
    ]
    path.write_text(json.dumps(data))
    (answer,) = ask(open_command(model))
    assert answer["result"]["manifest"] == open_artifact(model).manifest.to_json()
    assert answer["result"]["hash"] == open_artifact(model).hash


UNET = ("graphs", "unet")


FIELDS: list[tuple[tuple[Any, ...], Any]] = [
    *(((name,), ...) for name in ("schema", "name", "family", "source", "precision", "prediction")),
    *(((name,), ...) for name in ("schedule", "latent", "text_encoders", "graphs")),
    *(((name,), None) for name in ("name", "source", "graphs", "files", "defaults", "made_with")),
    *((("schema",), value) for value in (0, 2, "1", None, [1], {"a": 1}, 1.5, 2**70)),
    (("unknown",), 1),
    (("family",), "sd3"),
    (("precision",), "fp64"),
    (("prediction",), "flow"),
    (("source", "id"), 7),
    (("source", "more"), 7),
    (("source", "loras"), {}),
    (("source", "loras"), [{"file": "a", "sha256": "0" * 64}]),
    (("source", "loras"), [{"file": "a", "sha256": "0" * 63, "weight": 1}]),
    (("source", "loras"), [{"file": "a", "sha256": "0" * 64, "weight": "much"}]),
    (("source", "loras"), [{"file": "a", "sha256": "0" * 64, "weight": math.inf}]),
    *((("schedule", "train_steps"), value) for value in (0, -1, 100_001, 2.5, "x", None, 2**80)),
    *((("schedule", name), v) for name in ("beta_start", "beta_end") for v in (0, 1, -0.1, "x")),
    (("schedule", "curve"), "cosine"),
    (("schedule", "zero_terminal_snr"), "perhaps"),
    (("schedule", "spacing"), "even"),
    (("schedule", "offset"), -1),
    *(
        (("latent", name), value)
        for name in ("channels", "downscale")
        for value in (0, -4, 1.5, "x")
    ),
    (("latent", "scale"), "x"),
    (("latent", "scale"), math.nan),
    (("latent", "scale"), math.inf),
    (("latent", "preview"), {"matrix": [[1, 2, 3]], "bias": [0, 0, 0]}),
    (("latent", "preview"), {"matrix": [[1, 2]] * 4, "bias": [0, 0, 0]}),
    (("latent", "preview"), {"matrix": [[1, 2, 3]] * 4, "bias": [0, 0]}),
    (("text_encoders",), {}),
    (("text_encoders", 0), 7),
    (("text_encoders", 0, "length"), 0),
    (("text_encoders", 0, "layer"), "first"),
    (("text_encoders", 0, "tokenizer"), "../tokenizer"),
    ((*UNET, "files"), {"gguf": ["a"]}),
    ((*UNET, "files"), {"onnx": "unet/model.onnx"}),
    ((*UNET, "files"), {"onnx": ["unet/missing.onnx"]}),
    ((*UNET, "files"), {"openvino": ["unet/model.onnx"]}),
    ((*UNET, "files"), {}),
    ((*UNET, "inputs"), None),
    ((*UNET, "inputs", 0, "dtype"), "float64"),
    ((*UNET, "inputs", 0, "shape"), [0]),
    ((*UNET, "inputs", 0, "shape"), [-1, "h"]),
    ((*UNET, "inputs", 0, "shape"), [None]),
    ((*UNET, "precision"), "int4"),
    ((*UNET, "quantization"), {}),
    ((*UNET, "parity_db"), {"onnxruntime": "x"}),
    *((("defaults", name), 0) for name in ("width", "height", "num_inference_steps")),
    (("defaults", "guidance_scale"), -1),
    (("defaults", "sampler_options"), {"a": None}),
    (("defaults", "sampler_options"), {"a": []}),
    (("files", "unet/model.onnx"), ...),
    (("files", "unet/model.onnx", "size"), -1),
    (("files", "unet/model.onnx", "size"), 1),
    (("files", "unet/model.onnx", "size"), 2**100),
    (("files", "unet/model.onnx", "sha256"), "0" * 64),
    (("files", "unet/model.onnx", "sha256"), "0" * 63),
    (("files", "unet/model.onnx", "sha256"), "G" * 64),
    *((("files", name), {"size": 1, "sha256": "0" * 64}) for name in ("/etc/passwd", "../a", "")),
    *((("files", name), {"size": 1, "sha256": "0" * 64}) for name in ("c:a", "a\\b", "a/../b")),
    (("made_with", "onnx"), 1),
    *((("zeros_for_empty_prompt",), value) for value in (None, 1, "true")),
]


def test_every_wrong_field_is_refused_as_in_python(ask: Ask, model: Path, tmp_path: Path) -> None:
    sound = json.loads((model / "manifest.json").read_text())
    folders = []
    for i, (at, value) in enumerate(FIELDS):
        folder = tmp_path / f"wrong-{i}"
        shutil.copytree(model, folder)
        (folder / "manifest.json").write_text(json.dumps(change(sound, at, value)))
        folders.append(folder)
    for folder, case, answer in zip(folders, FIELDS, ask(*map(open_command, folders)), strict=True):
        assert opened(folder) == 3, case
        assert answer.get("code") == 3, (case, answer)
        assert answer["error"] == "ArtifactError"


def test_the_message_names_the_wrong_field(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()), ("latent", "channels"), 0)))
    (answer,) = ask(open_command(model))
    assert "latent.channels" in answer["message"]
    assert "export the model again" in answer["message"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{}",
        b'{"schema": 1e999}',
        b'{"schema": NaN}',
        b'{"schema": 1, "name": "\xc3"}',
        b'{"schema": 1, "name": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 1000 + b"]" * 1000,
        b'{"schema": 1, "x": ' + b"9" * 100_000 + b"}",
        b"{" + b",".join(b'"%d":0' % i for i in range(300_000)) + b"}",
        b" " * 4_000_001,
    ],
    ids=lambda text: text[:24].decode(errors="replace"),
)
def test_hostile_json_is_an_error_and_nothing_more(ask: Ask, model: Path, text: bytes) -> None:
    (model / "manifest.json").write_bytes(text)
    (answer,) = ask(open_command(model))
    assert answer["code"] == 3


def test_of_a_name_that_stands_twice_the_last_value_counts(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    path.write_text(path.read_text().replace('"name": "demo"', '"name": "a", "name": "b"', 1))
    (answer,) = ask(open_command(model))
    assert answer["result"]["name"] == open_artifact(model).manifest.name == "b"
