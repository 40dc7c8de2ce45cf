"""The C++ host's models, requests and pictures beside Python's, built with the sanitizers."""

import hashlib
import json
import math
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from sdrt import errors
from sdrt.artifact import Artifact, open_artifact
from sdrt.artifact.detect import describe
from sdrt.artifact.peer_folder import is_peer_folder
from sdrt.backends.executed import NetworkRecord, Retry
from sdrt.images.metadata import Parameters, read_png
from sdrt.images.png import check_target, to_image
from sdrt.manifest import Manifest
from sdrt.request.resolve import resolve
from sdrt.sampling.samplers.aliases import DIFFUSERS, find_sampler
from sdrt.sampling.samplers.registry import SAMPLERS
from tests.cpp.conftest import Ask, Command, asking

HERE = ("ddim", "euler", "euler_a", "dpm++2m", "unipc", "lcm")  # samplers of the host
MUTATIONS = 200


@pytest.fixture(scope="module")
def ask(sanitized_build: Path, clean_environment: dict[str, str]) -> Ask:
    """Ask the C++ parts, built with the sanitizers."""
    return asking(sanitized_build / "model-parts", clean_environment)


@pytest.fixture
def model(demo: Artifact, tmp_path: Path) -> Path:
    """A small artifact with the demo's manifest, whose graph keeps its weights beside itself."""
    return small_model(demo, tmp_path / "model")


def small_model(demo: Artifact, folder: Path) -> Path:
    """Write one."""
    names = list(demo.manifest.graphs)
    for name in names:
        (folder / name).mkdir(parents=True)
        onnx.save(graph("model.onnx_data"), folder / name / "model.onnx")
        (folder / name / "model.onnx_data").write_bytes(bytes(range(64)))
    files = {
        str(path.relative_to(folder)): {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = json.loads(demo.manifest.to_json()) | {"files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return folder


def graph(location: str, **entries: str) -> onnx.ModelProto:
    """A graph that adds a tensor which is in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location, "offset": "0", "length": "64"} | entries).items():
        weights.external_data.add(key=key, value=value)
    shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 4]) for n in ("x", "y")]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return helper.make_model(helper.make_graph([node], "g", shape[:1], shape[1:], [weights]))


def sha256(path: Path) -> str:
    """Digits of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Change a file, and its record with it: as somebody who means harm would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"size": len(content), "sha256": sha256(folder / name)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def opened(path: Path) -> int:
    """Exit code of opening a folder and each of its networks in Python."""
    try:
        artifact = open_artifact(path)
        for name in artifact.manifest.graphs:
            artifact.network(name, ["onnx"])
    except errors.SdrtError as error:
        return error.exit_code
    return 0


def open_command(path: Path, formats: tuple[str, ...] = ("onnx",)) -> Command:
    """The same in C++."""
    return {"op": "open", "path": str(path), "formats": formats}


# ---- Manifests and folders


def test_a_sound_folder_gives_what_python_reads(ask: Ask, demo: Artifact, model: Path) -> None:
    for artifact, answer in zip(
        (demo, open_artifact(model)),
        ask(open_command(demo.root), open_command(model)),
        strict=True,
    ):
        found, manifest = answer["result"], artifact.manifest
        assert found["manifest"] == manifest.to_json()
        assert found["hash"] == artifact.hash
        assert found["text_layers"] == manifest.text_layers
        assert found["conditions"] == manifest.conditions
        for name, network in found["networks"].items():
            expected = artifact.network(name, ["onnx"])
            assert network["files"] == [str(file) for file in expected.files]
            assert network["stored"] == expected.stored


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


def test_a_manifest_of_stable_diffusion_xl_is_read(ask: Ask, tiny_sdxl: Path) -> None:
    artifact = open_artifact(tiny_sdxl)
    assert artifact.manifest.zeros_for_empty_prompt
    (answer,) = ask(open_command(tiny_sdxl))
    found = answer["result"]
    assert found["manifest"] == artifact.manifest.to_json()
    assert found["hash"] == artifact.hash
    assert found["text_layers"] == artifact.manifest.text_layers > 1


def change(data: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy of JSON with one value put elsewhere; `...` takes it away."""
    data = json.loads(json.dumps(data))
    holder = data
    for step in at[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[at[-1]]
    else:
        holder[at[-1]] = value
    return data


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


def test_links_and_pipes_are_treated_as_in_python(ask: Ask, model: Path, tmp_path: Path) -> None:
    weights = "unet/model.onnx_data"
    outside = tmp_path / "elsewhere"
    shutil.copy(model / weights, outside)
    kinds = {"inside": 0, "outside": 3, "folder": 3, "pipe": 3, "dangling": 3, "loop": 3}
    folders = {kind: Path(shutil.copytree(model, tmp_path / kind / "model")) for kind in kinds}
    for kind, folder in folders.items():
        (folder / weights).unlink()
        match kind:
            case "inside":
                (folder / weights).symlink_to(folder / "text_encoder/model.onnx_data")
            case "outside":
                (folder / weights).symlink_to(outside)
            case "folder":
                (folder / weights).mkdir()
            case "pipe":
                os.mkfifo(folder / weights)
            case "dangling":
                (folder / weights).symlink_to(folder / "nothing")
            case "loop":
                (folder / weights).symlink_to(folder / weights)
    answers = ask(*map(open_command, folders.values()))
    assert [answer.get("code", 0) for answer in answers] == list(kinds.values())
    assert [opened(folders[kind]) for kind in ("inside", "outside", "dangling")] == [0, 3, 3]


LOCATIONS = (
    *("/etc/passwd", "/dev/zero", "../../secret", "../text_encoder/model.onnx_data"),
    *("./../unet/../secret", "..\\secret", "c:secret", "a\x00b", "other", ""),
)


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_graph_reads_no_file_but_those_listed_for_it(
    ask: Ask, model: Path, location: str
) -> None:
    content = graph(location).SerializeToString()
    replace_file(model, "unet/model.onnx", content)
    (answer,) = ask(open_command(model))
    assert answer["code"] == 3
    assert "which the manifest does not list" in answer["message"]


@pytest.mark.parametrize(
    "entries",
    [
        {"length": "65"},
        {"offset": "1"},
        {"offset": "-1"},
        {"length": str(2**62)},
        {"length": str(2**64 - 1), "offset": "2"},
        {"length": str(2**64)},
        {"length": "6 4"},
        {"surprise": "1"},
        {"location": "x" * 5000},
    ],
    ids=str,
)
def test_a_graphs_tensors_lie_within_their_files(
    ask: Ask, model: Path, entries: dict[str, str]
) -> None:
    content = graph(**({"location": "model.onnx_data"} | entries)).SerializeToString()
    replace_file(model, "unet/model.onnx", content)
    (answer,) = ask(open_command(model))
    assert answer["code"] == 3


def test_tensors_within_nodes_and_functions_are_found(ask: Ask, model: Path) -> None:
    outer, inner = graph("model.onnx_data"), graph("../secret")
    weights = inner.graph.initializer[0]
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner.graph, else_branch=outer.graph)
    constant = helper.make_node("Constant", [], ["c"], value=weights)
    for node in (branch, constant):
        nested = graph("model.onnx_data")
        nested.graph.node.append(node)
        in_function = graph("model.onnx_data")
        in_function.functions.append(
            helper.make_function("d", "F", [], ["y"], [node], [helper.make_opsetid("", 17)])
        )
        for one in (nested, in_function):
            replace_file(model, "unet/model.onnx", one.SerializeToString())
            (answer,) = ask(open_command(model))
            assert answer["code"] == 3
            assert "../secret" in answer["message"]


def test_a_broken_graph_with_a_fitting_hash_is_an_error(ask: Ask, model: Path) -> None:
    sound = (model / "unet/model.onnx").read_bytes()
    broken = [b"", b"\x00", b"\xff" * 20, b"GGUF", sound[:-1], sound[: len(sound) // 2]]
    broken.append(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    for content in broken:
        replace_file(model, "unet/model.onnx", content)
        (answer,) = ask(open_command(model))
        assert answer["code"] == 3


def test_two_hundred_damaged_folders_give_pythons_codes(
    ask: Ask, model: Path, tmp_path: Path
) -> None:
    """Truncated, flipped, deleted, swapped; in graphs, weights and the manifest."""
    draw = random.Random(0)
    names = [str(path.relative_to(model)) for path in sorted(model.rglob("*")) if path.is_file()]
    folders = []
    for i in range(MUTATIONS):
        folder = Path(shutil.copytree(model, tmp_path / f"damaged-{i}"))
        path = folder / draw.choice([*names, *["manifest.json"] * len(names)])
        content = bytearray(path.read_bytes())
        match i % 6:
            case 0:
                path.write_bytes(content[: draw.randrange(len(content))])
            case 1 | 2:
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
                path.write_bytes(content)
            case 3:
                path.unlink()
            case 4:
                path.write_bytes((folder / draw.choice(names)).read_bytes())
            case 5:
                at = draw.randrange(len(content))
                path.write_bytes(content[:at] + draw.randbytes(4) + content[at:])
        folders.append(folder)
    codes = [answer.get("code", 0) for answer in ask(*map(open_command, folders))]
    expected = [opened(folder) for folder in folders]
    assert codes == expected
    assert expected.count(3) > MUTATIONS / 2


def test_a_file_that_passed_is_not_hashed_again(ask: Ask, model: Path) -> None:
    """What Python remembers counts here too: the record is of size, time and inode."""
    weights = model / "unet/model.onnx_data"
    assert opened(model) == 0
    before = weights.stat()
    with weights.open("r+b") as file:
        file.write(b"other")
    (changed,) = ask(open_command(model))
    assert changed["code"] == 3
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    (hidden,) = ask(open_command(model))
    assert "result" in hidden
    assert opened(model) == 0


def test_a_message_says_what_is_there_instead_of_a_model(ask: Ask, tmp_path: Path) -> None:
    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    folders = {write(f"{name}/model_index.json", {"_class_name": name}).parent for name in ("SD",)}
    folders |= {write("ov/model_index.json", {"_class_name": "OVX"}).parent}
    folders |= {write("onnx/model_index.json", {"_class_name": "X"}).parent}
    write("onnx/unet/model.onnx", "")
    folders |= {write("net/config.json", {"_class_name": "UNet"}).parent}
    folders |= {write("clip/config.json", {"architectures": ["CLIP", "B"]}).parent}
    folders |= {write("lora/adapter_config.json", {}).parent}
    folders |= {write("bad/model_index.json", "{").parent, write("w/a.SafeTensors", "").parent}
    folders |= {write("file.ckpt", ""), write("file.txt", ""), tmp_path / "missing"}
    for name in "abcdef":
        write(f"many/{name}", "")
    (tmp_path / "empty").mkdir()
    paths = sorted([*folders, tmp_path / "many", tmp_path / "empty"])
    answers = ask(*({"op": "describe", "path": str(path)} for path in paths))
    assert [answer["result"] for answer in answers] == [describe(path) for path in paths]
    for path, answer in zip(paths, ask(*map(open_command, paths)), strict=True):
        # Folders of other tools are Python's, which opens them if it can.
        assert answer["code"] == (3 if is_peer_folder(path) else opened(path)) == 3


def test_hashes_are_those_of_hashlib(ask: Ask) -> None:
    texts = ["a" * n for n in (*range(130), 1000, 1 << 20)] + ["ü😀" * 33]
    answers = ask(*({"op": "sha256", "text": text} for text in texts))
    expected = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert [answer["result"] for answer in answers] == expected


def test_hashes_do_not_depend_on_the_processor(ask: Ask) -> None:
    draw = random.Random(0)
    state, data = [draw.getrandbits(32) for _ in range(8)], list(draw.randbytes(64 * 50))
    (answer,) = ask({"op": "blocks", "state": state, "bytes": data})
    fast, portable = answer["result"]
    assert fast == portable != state


# ---- Requests

GIVEN: list[dict[str, Any]] = [
    {},
    {"width": 256, "height": 64, "num_inference_steps": 7, "guidance_scale": 0},
    {"guidance_rescale": 0.7, "guidance_start": 0.2, "guidance_end": 0.8, "guidance_split": True},
    {"guidance_start": 0.5, "guidance_end": 0.5, "negative_prompt": "fog"},
    {"guidance_scale": 1, "guidance_rescale": 0.7, "guidance_split": True},
    {"guidance_scale": 0.5, "negative_prompt": "fog", "guidance_start": 0.5, "guidance_end": 0.8},
    {"sampler": "lcm", "spacing": "trailing"},
    {"seed": 2**63 - 1},
    {"seed": 2**63 - 64, "num_images_per_prompt": 64},
    {"seed": 0, "num_images_per_prompt": 3, "negative_prompt": "häßlich 😀"},
    {"clip_skip": 2},
    {"scheduler": "karras", "spacing": "linspace"},
    *({"sampler": name} for name in HERE),
    *({"sampler": name} for name in ("DPM++ 2M Karras", "dpmpp_2m", "Euler a", "EULER-A", "UniPC")),
    *({"sampler": name} for name, own in DIFFUSERS.items() if own in HERE),
    *({"width": width} for width in (0, -8, 56, 63, 65, 4096, 4104, 2**40, -(2**63))),
    *({"height": height} for height in (60, 72)),
    *({"num_inference_steps": steps} for steps in (0, -1, 1, 1000, 1001)),
    *({"guidance_scale": scale} for scale in (-1.0, -0.5, 1e30)),
    *({"guidance_rescale": share} for share in (-0.1, 1.1)),
    {"guidance_start": 0.8, "guidance_end": 0.2},
    {"guidance_end": 2.5},
    *({"seed": seed} for seed in (-1, -(2**63))),
    {"seed": 2**63 - 1, "num_images_per_prompt": 2},
    *({"num_images_per_prompt": count} for count in (0, -1, 65)),
    *({"clip_skip": number} for number in (0, -1, 65, 1000)),
    {"spacing": "even"},
    {"sampler": "dpm++2m karras", "scheduler": "default"},
    {"sampler": "dpm++2m karras", "scheduler": "karras"},
]
"""Both sides give the same request or the same error for these, messages included."""


def resolved(manifest: Manifest, options: Mapping[str, Any]) -> dict[str, Any]:
    """What Python makes of options, in the form of the C++ parts."""
    try:
        found = resolve(manifest, "a boat", {"seed": 5, **options})  # type: ignore[typeddict-item]
    except errors.SdrtError as error:
        name = type(error).__name__
        return {"error": name, "code": error.exit_code, "message": str(error)}
    guidance, sampler_settings = found.guidance, found.sampler_settings
    shares = [guidance.scale, guidance.rescale, guidance.start, guidance.end, guidance.is_split]
    return {
        "result": {
            "prompt": found.prompt,
            "negative_prompt": found.negative_prompt,
            "width": found.width,
            "height": found.height,
            "steps": found.num_inference_steps,
            "guidance": shares,
            "is_guided": found.is_guided,
            "sampler": sampler_settings.sampler,
            "scheduler": sampler_settings.scheduler,
            "spacing": sampler_settings.spacing,
            "offset": sampler_settings.offset,
            "options": dict(sampler_settings.options),
            "seeds": list(found.seeds),
            "clip_skip": found.clip_skip,
            "warnings": list(found.warnings),
        }
    }


def request_command(path: Path, options: Mapping[str, Any]) -> Command:
    """The same for C++."""
    return {
        "op": "request",
        "path": str(path),
        "options": {"prompt": "a boat", "seed": 5, **options},
    }


def test_options_are_completed_and_checked_as_in_python(ask: Ask, demo: Artifact) -> None:
    answers = ask(*(request_command(demo.root, options) for options in GIVEN))
    for options, answer in zip(GIVEN, answers, strict=True):
        assert answer == resolved(demo.manifest, options), options


def test_the_models_own_sampler_options_are_checked_as_in_python(ask: Ask, model: Path) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("dpm++2m", {"order": 3, "solver_type": "heun", "lower_order_final": False}),
        ("dpm++2m", {"order": 2.0}),
        ("dpm++2m", {"order": 4}),
        ("dpm++2m", {"order": True}),
        ("dpm++2m", {"ordr": 1}),
        ("unipc", {"solver_type": "bh2", "predict_x0": True}),
        ("unipc", {"solver_type": "midpoint"}),
        ("ddim", {"eta": 1}),
        ("ddim", {"eta": 1.5}),
        ("euler", {"eta": 0.5}),
        ("euler", {"final": "min", "rho": 5, "clip": 0.5, "thresholding": 0.9}),
        ("euler", {"final": "last"}),
        ("euler", {"thresholding_max": 0.5}),
        ("lcm", {"original_steps": 50, "timestep_scaling": 10.0}),
        ("lcm", {"original_steps": 50.5}),
    ]
    path = model / "manifest.json"
    sound = json.loads(path.read_text())
    for sampler, options in cases:
        data = change(sound, ("defaults", "sampler"), sampler)
        path.write_text(json.dumps(change(data, ("defaults", "sampler_options"), options)))
        (answer,) = ask(request_command(model, {}))
        assert answer == resolved(open_artifact(model).manifest, {}), (sampler, options)


def test_samplers_are_found_by_pythons_names(ask: Ask) -> None:
    names = [*SAMPLERS, *DIFFUSERS, *(one.a1111 for one in SAMPLERS.values())]
    names += [f"{name} Karras" for name in names] + ["nonsense", "karras", "", "DPM++ 9M", "_"]
    answers = ask(*({"op": "sampler", "name": name} for name in names))
    for name, answer in zip(names, answers, strict=True):
        expected = find_sampler(name)
        if expected is None:
            assert answer["code"] == 2, name
        elif expected[0] in HERE:
            assert answer["result"] == list(expected), name
        else:
            assert answer["code"] == 9, name
            assert expected[0] in answer["message"]


def test_an_unknown_name_is_answered_with_the_nearest(ask: Ask, demo: Artifact) -> None:
    given = [{"sampler": "eulr"}, {"sampler": "dpm2m"}, {"scheduler": "karas"}, {"sampler": "zzz"}]
    ends = ["did you mean 'euler'?", "did you mean 'dpm++2m'?", "did you mean 'karras'?", "lcm"]
    for end, answer in zip(
        ends, ask(*(request_command(demo.root, options) for options in given)), strict=True
    ):
        assert answer["code"] == 2
        assert answer["message"].endswith(end)


def test_a_seed_is_drawn_where_none_is_given(ask: Ask, demo: Artifact) -> None:
    answers = ask(*[request_command(demo.root, {"seed": None})] * 8)
    seeds = [answer["result"]["seeds"][0] for answer in answers]
    assert len(set(seeds)) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_inpainting_model_is_more_than_this_host_does(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    inputs = [one["name"] for one in data["graphs"]["unet"]["inputs"]]
    at = ("graphs", "unet", "inputs", inputs.index("sample"), "shape", 1)
    for channels, kind in ((9, "is an inpainting model"), (8, "edits pictures"), (6, "takes 2")):
        path.write_text(json.dumps(change(data, at, channels)))
        (answer,) = ask(request_command(model, {}))
        assert answer["code"] == 9
        assert kind in answer["message"]


def test_guidance_inside_of_a_unet_goes_from_one_on(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    told = {"name": "timestep_cond", "dtype": "float32", "shape": ["batch", 32]}
    data["graphs"]["unet"]["inputs"].append(told)
    path.write_text(json.dumps(data))
    low, none = ask(
        request_command(model, {"guidance_scale": 0.5}),
        request_command(model, {"guidance_scale": 1.0}),
    )
    assert (low["code"], none["result"]["is_guided"]) == (2, False)
    assert "whose U-Net is told it, is 0.5; expected a finite number from 1 up" in low["message"]
    own = Manifest.model_validate(data)
    for given in ({"guidance_rescale": 0.7}, {"guidance_end": 0.5}, {"negative_prompt": "fog"}):
        (answer,) = ask(request_command(model, given))
        assert answer == resolved(own, given)


def test_a_refiner_of_stable_diffusion_xl_is_left_to_python(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    told = {"name": "time_ids", "dtype": "float32", "shape": ["batch", 5]}
    for numbers, problem in ((5, "is a refiner of Stable"), (7, "takes 7 numbers about the")):
        inputs = [*data["graphs"]["unet"]["inputs"], {**told, "shape": ["batch", numbers]}]
        path.write_text(json.dumps(change(data, ("graphs", "unet", "inputs"), inputs)))
        (answer,) = ask(request_command(model, {}))
        assert answer["code"] == 9
        assert problem in answer["message"]


# ---- Pictures


@pytest.fixture
def parameters() -> Parameters:
    """Of a picture without style, embeddings or an image to start from."""
    record = NetworkRecord("bf16", "bf16", {"bf16": 0.75, "fp32": 0.25}, "avx512_bf16", "engine")
    failed = replace(record, retried=Retry("bf16", "step 3 of 20"))
    return Parameters(
        prompt="a boat, at: \"sea\"\nin the evening \\ 'now'",
        negative_prompt="blurry, (low quality:1.3)",
        seed=2**63 - 1,
        width=7,
        height=5,
        num_inference_steps=20,
        clip_skip=2,
        style=None,
        prompt_embeddings={},
        init_image={},
        strength=None,
        paste=None,
        vae_tiling=False,
        hires=None,
        denoising_range=None,
        size_conditioning={},
        sampler="dpm++2m",
        scheduler="karras",
        spacing="trailing",
        steps_offset=1,
        sampler_options={"order": 2, "lower_order_final": True, "rho": 7.5, "final": "zero"},
        guidance_scale=7.5,
        image_guidance_scale=None,
        guidance_rescale=0.7,
        guidance_start=0.0,
        guidance_end=1.0,
        model="demo, v1",
        model_hash="0123456789abcdef" * 4,
        loras=[],
        textual_inversions=[],
        stored_precision="bf16",
        executed_precision="bf16",
        networks={"unet": record, "vae_decoder": failed},
        backend="openvino",
        threads=4,
        version="0.1.0",
    )


def png_command(
    path: Path, decoded: np.ndarray[Any, Any], parameters: Parameters | None = None
) -> Command:
    """Write a picture (3, height, width) in C++."""
    command = {
        "op": "png",
        "path": str(path),
        "decoded": decoded.ravel().tolist(),
        "height": decoded.shape[1],
        "width": decoded.shape[2],
    }
    return command if parameters is None else {**command, "parameters": asdict(parameters)}


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 9), (64, 40)])
def test_pixels_are_pythons(ask: Ask, tmp_path: Path, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.7, (3, *size)).astype(np.float32)
    smooth = np.broadcast_to(np.linspace(-1.1, 1.1, size[1], dtype=np.float32), (3, *size))
    for decoded in (noise, smooth):
        path = tmp_path / "picture.png"
        (answer,) = ask(png_command(path, decoded))
        expected = np.asarray(to_image(decoded))
        assert answer["result"] == expected.ravel().tolist()
        with Image.open(path) as image:
            image.verify()
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert (np.asarray(image) == expected).all()
    assert [one.name for one in tmp_path.iterdir()] == ["picture.png"]


def test_halves_go_to_the_even_number(ask: Ask, tmp_path: Path) -> None:
    exact = [2 * (n + 0.5) / 255 - 1 for n in range(255)]
    halves = [
        np.float32(x) for x in exact if (np.float32(x) / 2 + np.float32(0.5)) * 255 % 1 == 0.5
    ]
    decoded = np.array([*halves, np.float32(-9), np.float32(9)] * 3, np.float32).reshape(3, 1, -1)
    (answer,) = ask(png_command(tmp_path / "a.png", decoded))
    assert len(halves) > 9
    assert answer["result"] == np.asarray(to_image(decoded)).ravel().tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": "ein Böot"},
        {"prompt": "船 😀", "negative_prompt": ""},
        {"prompt": "", "negative_prompt": "", "scheduler": "default", "clip_skip": 1},
        {"scheduler": "exponential", "sampler": "euler_a", "sampler_options": {}},
        {"guidance_scale": 1e-7, "seed": 0},
        {"guidance_scale": 123456789.0, "model": 'a "b"\\: c'},
        {"guidance_scale": 1.0, "model": "x\ty\x01"},
    ],
    ids=str,
)
def test_parameters_are_read_back_by_python(
    ask: Ask, tmp_path: Path, parameters: Parameters, changes: dict[str, Any]
) -> None:
    wanted = replace(parameters, **changes)
    path = tmp_path / "picture.png"
    ask(png_command(path, np.zeros((3, 5, 7), np.float32), wanted))
    found = read_png(path)
    assert found["parameters"] == wanted.to_a1111()
    assert found["sdrt"] == json.loads(wanted.to_json())
    assert list(found["sdrt"]) == list(json.loads(wanted.to_json()))
    assert (found["width"], found["height"]) == (7, 5)


def test_a_picture_is_written_whole_or_not_at_all(ask: Ask, tmp_path: Path) -> None:
    decoded = np.zeros((3, 8, 8), np.float32)
    (tmp_path / "folder.png").mkdir()
    paths = ["a.jpg", "a", ".png", "missing/a.png", "folder.png", "x" * 250 + ".png", "a.PNG"]
    answers = ask(*(png_command(tmp_path / path, decoded) for path in paths))
    assert [answer.get("code", 0) for answer in answers] == [2, 2, 2, 5, 5, 5, 0]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.PNG", "folder.png"]


def test_a_target_is_checked_before_the_work(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    names = ["a.png", "a.jpg", "missing/a.png", "folder.png", "file/a.png"]
    paths = [*(tmp_path / name for name in names), Path("here.png")]
    answers = ask(*({"op": "target", "path": str(path)} for path in paths))
    for path, answer in zip(paths, answers, strict=True):
        try:
            check_target(path)
            expected = None
        except errors.SdrtError as error:
            expected = str(error)
        assert answer.get("message") == expected, path
