"""The C++ host opens, checks and refuses model folders as Python does."""

import json
import os
import random
import shutil
from pathlib import Path

from sdrt.artifact import Artifact, open_artifact
from sdrt.artifact.detect import describe
from sdrt.artifact.peer_folder import is_peer_folder
from tests.cpp.commands import Ask
from tests.cpp.models import open_command, opened

MUTATIONS = 40


def test_a_sound_folder_gives_what_python_reads(ask: Ask, demo: Artifact, model: Path) -> None:
    for artifact, answer in zip(
        (demo, open_artifact(model)),
        ask(open_command(demo.root), open_command(model)),
        strict=True,
    ):
        result, manifest = answer["result"], artifact.manifest
        assert result["manifest"] == manifest.to_json()
        assert result["hash"] == artifact.hash
        assert result["text_layers"] == manifest.text_layers
        assert result["conditions"] == manifest.conditions
        for name, network in result["networks"].items():
            expected = artifact.network(name, ["onnx"])
            assert network["files"] == [str(file) for file in expected.files]
            assert network["stored"] == expected.stored


def test_a_manifest_of_stable_diffusion_xl_is_read(ask: Ask, tiny_sdxl: Path) -> None:
    artifact = open_artifact(tiny_sdxl)
    assert artifact.manifest.zeros_for_empty_prompt
    (answer,) = ask(open_command(tiny_sdxl))
    result = answer["result"]
    assert result["manifest"] == artifact.manifest.to_json()
    assert result["hash"] == artifact.hash
    assert result["text_layers"] == artifact.manifest.text_layers > 1


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


def test_damaged_folders_give_pythons_codes(
    ask: Ask, model: Path, tmp_path: Path, seed: str
) -> None:
    """Truncated, flipped, deleted, swapped; in graphs, weights and the manifest."""
    draw = random.Random(seed)
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
    assert codes == expected, f"SDRT_TEST_SEED={seed}"
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
