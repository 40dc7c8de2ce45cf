"""Models of the hub: the files of one commit, each with its hash, and none without leave.

A server on this machine stands in for the hub.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from sdrt.errors import ArtifactError
from sdrt_export.export_options import SourceOptions
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.hub import HubId, fetch
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from tests.export.sources.single_file.twins import ldm_yaml, save, twin, write_yaml

COMMIT, OTHER = "a" * 40, "b" * 40
LARGE = ".safetensors"


@dataclass
class Hub:
    """Files by commit, what branches point to, and what was asked for."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    asked: list[str] = field(default_factory=list)
    lies: set[str] = field(default_factory=set)
    """Files that are sent with a byte changed."""

    def listing(self, revision: str) -> dict[str, Any] | None:
        commit = self.branches.get(revision, revision)
        files = self.commits.get(commit)
        if files is None:
            return None
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": git_hash(content),
                **({"lfs": lfs(content)} if name.endswith(LARGE) else {}),
            }
            for name, content in files.items()
        ]
        return {"id": "owner/model", "sha": commit, "siblings": siblings, "private": False}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs(content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"sha256": digest, "size": len(content), "pointerSize": 130}


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0].removeprefix("/")
            hub.asked.append(f"{self.command} {path}")
            if path.startswith("api/models/owner/model/revision/"):
                listing = hub.listing(path.rpartition("/")[2])
                if listing is None:
                    self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, with_body)
                else:
                    self.reply(200, json.dumps(listing).encode(), {}, with_body)
            elif path.startswith("owner/model/resolve/"):
                commit, _, name = path.removeprefix("owner/model/resolve/").partition("/")
                content = hub.commits[commit][name]
                tag = lfs(content)["sha256"] if name.endswith(LARGE) else git_hash(content)
                headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"'}
                if name in hub.lies:
                    content = content[:-1] + bytes([content[-1] ^ 1])
                self.reply(200, content, headers, with_body)
            else:
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

        def reply(
            self, status: int, content: bytes, headers: dict[str, str], with_body: bool
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A diffusers folder as a repository has it, with more in it than an export needs."""
    root, made = tmp_path_factory.mktemp("repository"), twin("sd2-v")
    for part in ("text_encoder", "unet", "vae"):
        getattr(made, part)().save_pretrained(root / part)
    made.tokenizer().save_pretrained(root / "tokenizer")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    for name, content in (
        ("model_index.json", index),
        ("scheduler/scheduler_config.json", made.configs["scheduler"]),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps(content))
    for name in ("v2.ckpt", "unet/diffusion_pytorch_model.bin", "README.md", "x/run.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not needed")
    for name in ("unet/diffusion_pytorch_model.fp16", "unet/diffusion_pytorch_model.non_ema"):
        (root / f"{name}.safetensors").write_bytes(b"not needed")
    save("sd2-v", root / "v2.safetensors")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def hub(folder: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub({COMMIT: dict(folder)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield hub
    server.shutdown()
    server.server_close()


def downloads(hub: Hub) -> set[str]:
    start = f"GET owner/model/resolve/{COMMIT}/"
    return {request.removeprefix(start) for request in hub.asked if request.startswith(start)}


def test_a_repository_is_a_folder_with_a_commit(hub: Hub) -> None:
    checkpoint = open_checkpoint("owner/model")
    assert isinstance(checkpoint, FolderCheckpoint)
    assert (checkpoint.name, checkpoint.source.id, checkpoint.source.revision) == (
        "model",
        "owner/model",
        COMMIT,
    )
    assert (checkpoint.family, checkpoint.prediction) == ("sd2", "v_prediction")
    assert checkpoint.unet().config["cross_attention_dim"] == 128
    for path in checkpoint.root.rglob("*"):
        assert not path.is_symlink()


def test_only_what_is_needed_is_downloaded_and_only_once(hub: Hub) -> None:
    fetch(HubId("owner/model"))
    weights = {
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }
    small = {"model_index.json", "scheduler/scheduler_config.json", "unet/config.json"}
    names = downloads(hub)
    assert {name for name in names if name.endswith((LARGE, ".bin", ".ckpt", ".py"))} == weights
    assert small < names
    hub.asked.clear()
    fetch(HubId("owner/model"))
    assert downloads(hub) == set()


def test_of_xl_both_text_encoders_are_downloaded(hub: Hub) -> None:
    second = {
        "text_encoder_2/config.json": b"{}",
        "text_encoder_2/model.safetensors": b"weights",
        "tokenizer_2/tokenizer_config.json": b"{}",
    }
    hub.commits[COMMIT] |= {**second, "text_encoder_2/model.onnx": b"not needed"}
    fetch(HubId("owner/model"))
    assert {name for name in downloads(hub) if "_2/" in name} == set(second)


def test_half_precision_is_taken_where_there_is_nothing_else(hub: Hub) -> None:
    files = hub.commits[COMMIT]
    full = files.pop("unet/diffusion_pytorch_model.safetensors")
    files["unet/diffusion_pytorch_model.fp16.safetensors"] = full
    fetch(HubId("owner/model"))
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in downloads(hub)


def test_a_revision_is_the_one_that_was_asked_for(hub: Hub) -> None:
    hub.branches["v1.0"] = OTHER
    hub.commits[OTHER] = {
        **hub.commits[COMMIT],
        "scheduler/scheduler_config.json": b'{"_class_name": "DDIMScheduler"}',
    }
    for revision, commit, prediction in (
        ("v1.0", OTHER, "epsilon"),
        (COMMIT, COMMIT, "v_prediction"),
        ("main", COMMIT, "v_prediction"),
    ):
        checkpoint = open_checkpoint(f"owner/model@{revision}")
        assert (checkpoint.source.revision, checkpoint.prediction) == (commit, prediction)


def test_a_file_of_a_repository(hub: Hub, tmp_path: Path) -> None:
    config = write_yaml(tmp_path / "v.yaml", ldm_yaml("sd2-v"))
    checkpoint = open_checkpoint("owner/model/v2.safetensors", SourceOptions(config=str(config)))
    assert isinstance(checkpoint, SingleFileCheckpoint)
    assert (checkpoint.name, checkpoint.source.id) == ("v2", "owner/model/v2.safetensors")
    assert downloads(hub) == {"v2.safetensors"}
    assert checkpoint.unet().config["cross_attention_dim"] == 128


def test_offline_nothing_is_asked_and_what_was_downloaded_is_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_checkpoint("owner/model")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    checkpoint = open_checkpoint("owner/model")
    assert checkpoint.source == before.source
    assert checkpoint.vae().config["latent_channels"] == 4
    with pytest.raises(ArtifactError, match="@v9 was never downloaded, and HF_HUB_OFFLINE is set"):
        open_checkpoint("owner/model@v9")
    with pytest.raises(ArtifactError, match="was downloaded only in part"):
        open_checkpoint("owner/model/v2.safetensors")
    assert hub.asked == []


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"]
)
def test_a_file_that_is_not_the_listed_one_is_refused(hub: Hub, name: str) -> None:
    hub.lies.add(name)
    with pytest.raises(ArtifactError, match=f"{name} is corrupt: its hash is .*the hub says"):
        open_checkpoint("owner/model")


def test_a_file_that_was_changed_on_disk_is_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = fetch(HubId("owner/model"))
    (path / "unet" / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ArtifactError, match=r"unet/config.json is corrupt"):
        fetch(HubId("owner/model"))


def test_what_is_not_there_is_named(hub: Hub) -> None:
    files = hub.commits[COMMIT]
    for source, message in (
        ("owner/nothing", "owner/nothing@main is not on the hub, .* and is no local path"),
        ("owner/model@v9", "owner/model@v9 has no revision v9"),
        ("owner/model/x.safetensors", "has no file x.safetensors; single files, .*v2.safetensors"),
    ):
        with pytest.raises(ArtifactError, match=message):
            open_checkpoint(source)
    del files["vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(ArtifactError, match="has no safetensors weights in vae; sdrt loads no pic"):
        open_checkpoint("owner/model")
    del files["model_index.json"]
    with pytest.raises(ArtifactError, match="is no diffusers folder.*owner/name/file: v2.safetens"):
        open_checkpoint("owner/model")


def test_a_local_path_is_never_looked_up(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for source in ("models/sd15", "/owner/model", "./owner/model", "../owner/model", "nowhere"):
        with pytest.raises(ArtifactError, match="the path does not exist"):
            open_checkpoint(source)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/model", HubId("owner/model")),
        ("stabilityai/sd-2.1@fp16", HubId("stabilityai/sd-2.1", None, "fp16")),
        ("a/b@refs/pr/3", HubId("a/b", None, "refs/pr/3")),
        ("a/b/c.safetensors@v1", HubId("a/b", "c.safetensors", "v1")),
        ("a/b/sub/c.ckpt", HubId("a/b", "sub/c.ckpt")),
        ("model", None),
        ("a/b/c", None),
        ("/a/b", None),
        ("a/../b.safetensors", None),
        ("a/b@../x", None),
        ("https://huggingface.co/a/b", None),
    ],
)
def test_ids_are_read(text: str, expected: HubId | None) -> None:
    assert HubId.parse(text) == expected
